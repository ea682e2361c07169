// A record's routing figures compared with their definitions in plain f64, computed from the
// routers' inputs: softmax, the largest probability, first come first served.
#include "record/step_record.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "moe/dispatch_plan.hpp"
#include "moe/uniform.hpp"
#include "statistics/step_statistics.hpp"
#include "support/mpi_main.hpp"

namespace switchyard::step_record_test {
namespace {

constexpr int V = 4, layers = 2;
constexpr std::int64_t A = 2, D = 5, E = 6;
constexpr std::int64_t N[layers] = {23, 9}, C[layers] = {4, 2};
constexpr const char* names[layers] = {"encoder.block.1", "decoder.block.1"};

// The router's input of one routing group, the same on every process.
struct Group {
  std::vector<float> x, weights;   // [N, D], [D, E]
  std::vector<std::uint8_t> real;  // [N]
};
Group group_of(int layer, std::int64_t v, std::int64_t m) {
  const std::uint64_t key = static_cast<std::uint64_t>((layer * V + v) * A + m);
  Group group{uniform(100 + key, N[layer] * D), uniform(10 + layer, D * E, 2),
              std::vector<std::uint8_t>(N[layer], 1)};
  for (std::int64_t t = 0; t < N[layer]; ++t) group.real[t] = (t + v) % 4 != 3;
  if (v == 2 && m == 1) std::fill(group.real.begin(), group.real.end(), 0);
  return group;
}

struct Plain {
  double groups = 0, real = 0, kept = 0, balance = 0, z = 0, confidence = 0, entropy = 0;
  std::vector<double> wanted = std::vector<double>(E, 0);
};

void add_group(const Group& group, std::int64_t capacity, Plain& plain) {
  const auto tokens = std::ssize(group.real);
  std::vector<double> wanted(E, 0), probability(E, 0);
  double real = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (!group.real[t]) continue;
    std::vector<double> p(E, 0);
    double sum = 0;
    for (std::int64_t e = 0; e < E; ++e) {
      double logit = 0;
      for (std::int64_t d = 0; d < D; ++d)
        logit += static_cast<double>(group.x[t * D + d]) * group.weights[d * E + e];
      sum += p[e] = std::exp(logit);
    }
    for (std::int64_t e = 0; e < E; ++e) {
      p[e] /= sum;
      probability[e] += p[e];
      plain.entropy -= p[e] * std::log(p[e]);
    }
    const auto chosen = std::ranges::max_element(p) - p.begin();
    plain.kept += wanted[chosen] < static_cast<double>(capacity);
    wanted[chosen] += 1;
    plain.confidence += p[chosen];
    plain.z += std::log(sum) * std::log(sum);
    real += 1;
  }
  plain.groups += 1;
  plain.real += real;
  for (std::int64_t e = 0; e < E; ++e) {
    plain.wanted[e] += wanted[e];
    if (real > 0) plain.balance += E * (wanted[e] / real) * (probability[e] / real);
  }
}

Plain plain_layer(int layer) {
  Plain plain;
  for (std::int64_t v = 0; v < V; ++v)
    for (std::int64_t m = 0; m < A; ++m) add_group(group_of(layer, v, m), C[layer], plain);
  return plain;
}

SparseLayerStats routed(const Layout& layout, Rank self, int layer, std::int64_t m) {
  Work work;
  SparseLayerStats stats{names[layer], layer == 1, {}, {}};
  for (const VirtualRank v : layout.hosted(self)) {
    const Group group = group_of(layer, v.value, m);
    RoutingInput input;
    input.router.x = {group.x.data(), N[layer], D};
    input.router.weights = {group.weights.data(), D, E};
    input.real = group.real;
    input.choice.capacity = C[layer];
    stats.groups.push_back(route(work, input, E).stats);
  }
  return stats;
}

StepRecord recorded(const Comm& comm) {
  const Layout layout(V, comm.size(), 1, E);
  std::vector<Batch> batches(A);
  std::vector<Transformer::Output> outputs(A);
  for (std::int64_t m = 0; m < A; ++m) {
    batches[m].rows = 1;
    outputs[m].token_loss = Tensor<float>::zeros(layout.hosted(comm.rank()).size(), 1);
    for (int layer = 0; layer < layers; ++layer)
      outputs[m].sparse_layers.push_back(routed(layout, comm.rank(), layer, m));
  }
  return to_record({.statistics = gather_statistics(comm, layout, batches, outputs)});
}

constexpr double tolerance = 1e-5;

TEST(RoutingRecord, IsWhatItsDefinitionsSayForEachLayer) {
  const StepRecord record = recorded(test_world());
  ASSERT_EQ(record.layers_size(), layers);
  for (int layer = 0; layer < layers; ++layer) {
    const Plain plain = plain_layer(layer);
    ASSERT_GT(plain.kept, 0);
    ASSERT_LT(plain.kept, plain.real) << "the case is meant to drop tokens";
    const StepRecord::LayerRouting& got = record.layers(layer);
    EXPECT_EQ(got.layer(), names[layer]);
    EXPECT_NEAR(got.load_balancing_loss(), plain.balance / plain.groups, tolerance);
    EXPECT_NEAR(got.z_loss(), plain.z / plain.real, tolerance);
    EXPECT_DOUBLE_EQ(got.dropped_fraction(), (plain.real - plain.kept) / plain.real);
    EXPECT_DOUBLE_EQ(got.load_imbalance(), std::ranges::max(plain.wanted) * E / plain.real);
    EXPECT_EQ(got.dead_experts(), std::ranges::count(plain.wanted, 0));
    EXPECT_DOUBLE_EQ(got.expert_usage(),
                     plain.kept / (plain.groups * E * static_cast<double>(C[layer])));
    EXPECT_NEAR(got.router_confidence(), plain.confidence / plain.real, tolerance);
    EXPECT_NEAR(got.router_entropy(), plain.entropy / plain.real, tolerance);
    const auto& tokens = record.tokens_per_expert(layer);
    EXPECT_EQ(tokens.layer(), names[layer]);
    EXPECT_EQ(std::vector<double>(tokens.tokens().begin(), tokens.tokens().end()), plain.wanted);
  }
}

TEST(RoutingRecord, IsWhatItsDefinitionsSayForAllLayersTogether) {
  const Plain a = plain_layer(0), b = plain_layer(1);
  const double real = a.real + b.real, kept = a.kept + b.kept;
  const StepRecord got = recorded(test_world());
  EXPECT_NEAR(got.load_balancing_loss(), a.balance / a.groups + b.balance / b.groups, tolerance);
  EXPECT_NEAR(got.aux(), (a.balance / a.groups + b.balance / b.groups) / 2, tolerance);
  EXPECT_NEAR(got.z_loss(), a.z / a.real + b.z / b.real, tolerance);
  EXPECT_DOUBLE_EQ(got.dropped_fraction(), (real - kept) / real);
  EXPECT_DOUBLE_EQ(
      got.load_imbalance(),
      (std::ranges::max(a.wanted) / a.real + std::ranges::max(b.wanted) / b.real) * E / 2);
  EXPECT_EQ(got.dead_experts(), std::ranges::count(a.wanted, 0) + std::ranges::count(b.wanted, 0));
  EXPECT_DOUBLE_EQ(got.expert_usage(), kept / (V * A * E * static_cast<double>(C[0] + C[1])));
  EXPECT_NEAR(got.router_confidence(), (a.confidence + b.confidence) / real, tolerance);
  EXPECT_NEAR(got.router_entropy(), (a.entropy + b.entropy) / real, tolerance);
}

TEST(RoutingRecord, HasEverythingButTheTokensOfEachExpertWhereThoseAreLeftOut) {
  StepFigures figures;
  figures.statistics.layers.push_back({.name = names[0],
                                       .groups = 1,
                                       .real_tokens = 4,
                                       .wanted = 4,
                                       .places = 4,
                                       .tokens_per_expert = {3, 1}});
  EXPECT_EQ(to_record(figures, false).tokens_per_expert_size(), 1) << "it was not taken";
  figures.cost = StepCost{};
  figures.cost->exchange.layers = {ExchangeFigures{}};
  StepRecord whole = to_record(figures);
  ASSERT_EQ(whole.tokens_per_expert_size(), 1);
  EXPECT_EQ(whole.tokens_per_expert(0).tokens(0), 3);
  whole.clear_tokens_per_expert();
  EXPECT_EQ(to_record(figures, false).SerializeAsString(), whole.SerializeAsString());
  EXPECT_EQ(whole.layers(0).load_imbalance(), 1.5);
}

StepFigures dense_figures() {
  StepFigures figures{
      .step = 3, .samples = 48, .loss_total = 1.75, .norm = 0.5, .learning_rate = 0.25};
  figures.statistics.loss = 1.5;
  return figures;
}

TEST(StepRecord, OfADenseModelHasNoRoutingAndNoExchange) {
  StepFigures figures = dense_figures();
  figures.cost = StepCost{.step_ms = 20, .peak_memory = 1 << 20};
  figures.tokens_per_second = 1000;
  const StepRecord record = to_record(figures);
  EXPECT_EQ(record.step(), 3);
  EXPECT_EQ(record.samples(), 48);
  EXPECT_EQ(record.loss(), 1.5);
  EXPECT_EQ(record.loss_total(), 1.75);
  EXPECT_EQ(record.norm(), 0.5);
  EXPECT_EQ(record.lr(), 0.25);
  EXPECT_EQ(record.step_ms(), 20);
  EXPECT_EQ(record.peak_memory(), 1 << 20);
  EXPECT_EQ(record.tokens_per_second(), 1000);
  EXPECT_TRUE(was_taken(record));
  for (const bool has : {record.has_aux(), record.has_dropped_fraction(), record.has_a2a_ms(),
                         record.has_a2a_bytes(), record.layers_size() > 0})
    EXPECT_FALSE(has);
}

TEST(StepRecord, OfAStepThatDivergedHasNoTimes) {
  const StepRecord record = to_record(dense_figures());
  EXPECT_FALSE(was_taken(record));
  EXPECT_FALSE(record.has_peak_memory());
  EXPECT_FALSE(record.has_tokens_per_second());
}

TEST(StepRecord, HasEachLayersTimesAndBytesOfTheExchange) {
  StepFigures figures = dense_figures();
  for (const char* name : names)
    figures.statistics.layers.push_back({.name = name,
                                         .groups = 1,
                                         .real_tokens = 1,
                                         .wanted = 1,
                                         .places = 1,
                                         .tokens_per_expert = {1}});
  ExchangeFigures first{1, 2, 3, 4, 5, 6}, second{10, 20, 30, 40, 50, 60};
  figures.cost = StepCost{};
  figures.cost->phase_ms[static_cast<std::size_t>(Phase::experts)] = 7;
  figures.cost->exchange = {.total = {11, 22, 33, 44, 55, 66}, .layers = {first, second}};
  const StepRecord record = to_record(figures);
  EXPECT_EQ(record.experts_ms(), 7);
  EXPECT_EQ(record.a2a_ms(), 11);
  EXPECT_EQ(record.a2a_dispatch_ms(), 22);
  EXPECT_EQ(record.a2a_combine_ms(), 33);
  EXPECT_EQ(record.a2a_backward_ms(), 44);
  EXPECT_EQ(record.a2a_wait_ms(), 55);
  EXPECT_EQ(record.a2a_bytes(), 66);
  ASSERT_EQ(record.layer_exchanges_size(), layers);
  EXPECT_EQ(record.layer_exchanges(0).layer(), names[0]);
  EXPECT_EQ(record.layer_exchanges(1).layer(), names[1]);
  EXPECT_EQ(record.layer_exchanges(1).a2a_wait_ms(), 50);
  EXPECT_EQ(record.layer_exchanges(0).a2a_bytes(), 6);
}

TEST(RoutingRecord, IsTheSameBitsOnAnyNumberOfProcesses) {
  const Comm alone = test_world().split(static_cast<int>(test_world().rank().value), 0);
  EXPECT_EQ(recorded(test_world()).SerializeAsString(), recorded(alone).SerializeAsString());
}

}  // namespace
}  // namespace switchyard::step_record_test
