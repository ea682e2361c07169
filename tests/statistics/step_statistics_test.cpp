#include "statistics/step_statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using testing::ElementsAre;

// Virtual rank v of 4: 10 tokens, of which v+1 choose expert 0 and the others expert 2 of 3; C = 4.
RoutingStats routing_of(std::int64_t v) {
  RoutingStats stats;
  stats.real_tokens = 10;
  stats.wanted = 10;
  stats.places = 3 * 4;
  stats.tokens_per_expert = {v + 1, 0, 9 - v};
  stats.dropped = std::max<std::int64_t>(9 - v - 4, 0);
  stats.computed = stats.wanted - stats.dropped;
  stats.balance_sum = static_cast<double>(v);
  stats.z_sum = 20;
  stats.confidence_sum = 5;
  stats.entropy_sum = 2.5;
  return stats;
}

void fill(Interval<VirtualRank> hosted, Transformer::Output& output) {
  output.token_loss = Tensor<float>::zeros(hosted.size(), 2);
  output.extra_loss = Tensor<float>::zeros(hosted.size(), 2);
  output.sparse_layers.push_back({.name = "encoder.block.1", .decoder = false, .groups = {}});
  for (const VirtualRank v : hosted) {
    float* row = output.token_loss.view().row(v.value - hosted.first.value);
    row[0] = static_cast<float>(v.value);
    row[1] = 1;
    output.extra_loss.view().row(v.value - hosted.first.value)[1] = 0.5f;
    output.sparse_layers[0].groups.push_back(routing_of(v.value));
  }
}

// `micro_steps` equal micro-steps, each with one row of two targets per virtual rank, whose losses
// are v and 1.
StepStatistics gather(const Layout& layout, std::size_t micro_steps = 1) {
  const Interval<VirtualRank> hosted = layout.hosted(test_world().rank());
  Batch batch;
  batch.rows = 1;
  batch.target_length = 2;
  batch.target_tokens = 8 * static_cast<std::int64_t>(micro_steps);
  const std::vector<Batch> batches(micro_steps, batch);
  std::vector<Transformer::Output> outputs(micro_steps);
  for (Transformer::Output& output : outputs) fill(hosted, output);
  return gather_statistics(test_world(), layout, batches, outputs);
}

TEST(StepStatistics, AddVirtualRanksOfAllProcesses) {
  const StepStatistics statistics = gather(Layout(4, test_world().size(), 1, 3));
  EXPECT_EQ(statistics.loss, (0 + 1 + 2 + 3 + 4) / 8.0);
  EXPECT_EQ(statistics.extra_loss, 4 * 0.5 / 8);
  ASSERT_EQ(statistics.layers.size(), 1U);
  const LayerStatistics& layer = statistics.layers[0];
  EXPECT_EQ(layer.name, "encoder.block.1");
  EXPECT_THAT(layer.tokens_per_expert, ElementsAre(10, 0, 30));
  EXPECT_EQ(layer.real_tokens, 40);
  EXPECT_EQ(layer.dropped, 5 + 4 + 3 + 2);
  EXPECT_EQ(layer.groups, 4);
  EXPECT_EQ(layer.places, 4 * 3 * 4);
  EXPECT_EQ(layer.balance_loss(), 1.5);
  EXPECT_EQ(layer.z_loss(), 2);
}

TEST(StepStatistics, AddMicroStepsAndAverageOverAllRoutingGroups) {
  const Layout layout(4, test_world().size(), 1, 3);
  const StepStatistics one = gather(layout), three = gather(layout, 3);
  EXPECT_DOUBLE_EQ(three.loss, one.loss);
  EXPECT_DOUBLE_EQ(three.extra_loss, one.extra_loss);
  const LayerStatistics &layer = three.layers[0], &single = one.layers[0];
  EXPECT_THAT(layer.tokens_per_expert, ElementsAre(30, 0, 90));
  EXPECT_EQ(layer.real_tokens, 120);
  EXPECT_EQ(layer.dropped, 3 * single.dropped);
  EXPECT_EQ(layer.places, 3 * single.places);
  EXPECT_EQ(layer.balance_loss(), single.balance_loss());
  EXPECT_EQ(layer.z_loss(), single.z_loss());
  EXPECT_EQ(layer.confidence_sum, 3 * single.confidence_sum);
}

TEST(StepStatistics, WeighWhatIsMinimised) {
  ModelConfig config;
  config.moe.num_experts = 3;
  config.moe.aux_loss_coef = 0.01;
  config.moe.z_loss_coef = 0.5;
  const StepStatistics statistics = gather(Layout(4, test_world().size(), 1, 3));
  EXPECT_EQ(statistics.loss, 1.25);
  EXPECT_EQ(statistics.balance_loss(), 1.5);
  EXPECT_EQ(statistics.z_loss(), 2);
  EXPECT_DOUBLE_EQ(total_loss(statistics, config), 1.25 + 0.01 * 1.5 + 0.5 * 2 + 0.25);
}

// The configuration has two sparse layers.
TEST(StepStatistics, WeighTheLossesOfLayersAsTheOptionsSay) {
  ModelConfig config;
  config.num_layers = config.num_decoder_layers = 2;
  config.moe.num_experts = 3;
  config.moe.aux_loss_coef = 0.01;
  config.moe.z_loss_coef = 0.5;
  config.moe.aux_loss_reduction = AuxLossReduction::mean;
  const StepStatistics statistics = gather(Layout(4, test_world().size(), 1, 3));
  EXPECT_DOUBLE_EQ(total_loss(statistics, config), 1.25 + 0.005 * 1.5 + 0.25 * 2 + 0.25);
  config.moe.load_balancing = LoadBalancing::bias;
  EXPECT_DOUBLE_EQ(total_loss(statistics, config), 1.25 + 0.25 * 2 + 0.25);
}

}  // namespace
}  // namespace switchyard
