// The formula compared with the matrix products that a step really computes.
#include "plan/operations.hpp"

#include <gtest/gtest.h>

#include <array>

#include "model/transformer.hpp"
#include "plan/small_plan.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

// Two operations per multiply-add, over all processes.
std::int64_t operations_of_step(const ModelConfig& config, const StepShape& shape, int ranks) {
  const Comm& comm = test_world();
  const Layout layout(ranks, comm.size(), 1, config.moe.num_experts);
  Transformer model(config, layout, comm.rank(), 17, Transformer::Gradients::yes);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout);
  StepContext context{comm, transport, layout, 17, 3, Mode::train, timer, work};
  const Batch batch =
      test::slice(test::full_batch(config, shape, ranks), layout.hosted(comm.rank()));
  Transformer::Output output = model.forward_backward(context, batch);
  std::array<std::int64_t, 1> sum = {2 * work.multiply_adds.load()};
  all_reduce_sum(comm, sum);
  return sum[0];
}

Layout layout_of_four(int experts) { return {4, 1, 1, experts}; }

void expect_counts_a_step(const ModelConfig& config, const StepShape& shape) {
  const Operations operations =
      count_operations(config, layout_of_four(config.moe.num_experts), shape);
  EXPECT_EQ(operations_of_step(config, shape, 4),
            operations.total() + operations.routers + operations.recomputed)
      << "experts " << config.moe.num_experts << ", routing "
      << static_cast<int>(config.moe.encoder_routing) << ", recompute "
      << static_cast<int>(config.recompute);
}

TEST(Operations, AreTheProductsOfAStepButForRoutersAndWhatIsComputedAgain) {
  const StepShape shape = test::full_rows(8, 11, 7);
  for (const int experts : {0, 3}) {
    for (const bool gated : {false, true}) {
      ModelConfig config = test::small_config(experts);
      config.activation = gated ? Activation::gated_gelu : Activation::relu;
      config.tie_word_embeddings = !gated;
      for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
        config.recompute = recompute;
        expect_counts_a_step(config, shape);
      }
    }
  }
}

TEST(Operations, AreTheProductsOfAStepWhateverTheRouting) {
  using enum RoutingMethod;
  const StepShape shape = test::full_rows(8, 11, 7);
  for (const RoutingMethod method : {top2, topk, expert_choice, soft, hash, ntlb}) {
    ModelConfig config = test::small_config(5);
    config.input_length = shape.input_length;
    config.moe.encoder_routing = method;
    config.moe.second_policy = SecondPolicy::all;
    config.moe.router_topk = 3;
    for (const Recompute recompute : {Recompute::none, Recompute::block}) {
      config.recompute = recompute;
      expect_counts_a_step(config, shape);
    }
  }
}

// The program computes whole tiles; the formula counts only visible pairs.
TEST(Operations, OfAWindowAreThePairsThatSeeEachOther) {
  const StepShape shape = test::full_rows(4, 90, 7);
  ModelConfig config = test::small_config(0);
  const auto full = count_operations(config, layout_of_four(0), shape);
  config.encoder_window = AttentionWindow{1000, 0};
  EXPECT_EQ(count_operations(config, layout_of_four(0), shape).total(), full.total());
  for (const AttentionWindow& window : {AttentionWindow{6, 0}, AttentionWindow{6, 5}}) {
    config.encoder_window = window;
    for (const Recompute recompute : {Recompute::none, Recompute::attention}) {
      config.recompute = recompute;
      const Operations operations = count_operations(config, layout_of_four(0), shape);
      const std::int64_t unseen = WindowTiles(window, 90).elements() - window.visible_pairs(90);
      const std::int64_t passes = recompute == Recompute::attention ? 14 : 12;
      EXPECT_GT(unseen, 0);
      EXPECT_EQ(operations_of_step(config, shape, 4),
                operations.total() + operations.recomputed +
                    passes * config.num_layers * 4 * unseen * config.num_heads * config.d_kv);
      EXPECT_LT(operations.total(), full.total());
    }
  }
}

TEST(Operations, OfExpertsAreNeverMoreThanTheirPlaces) {
  const StepShape shape = test::full_rows(8, 20, 20);
  ModelConfig config = test::small_config(5);
  config.moe.dropless = false;
  config.moe.capacity_factor = 2;
  config.moe.encoder_routing = config.moe.decoder_routing = RoutingMethod::topk;
  const auto experts = [&](int k) {
    config.moe.router_topk = k;
    return count_operations(config, layout_of_four(5), shape).experts;
  };
  EXPECT_EQ(experts(2), 2 * experts(1));
  EXPECT_EQ(experts(5), experts(2));
}

TEST(Operations, OfASwitchTransformerAreThoseOfItsDenseTwin) {
  const StepShape shape = test::full_rows(8, 11, 7);
  EXPECT_EQ(count_operations(test::small_config(0), layout_of_four(0), shape).total(),
            count_operations(test::small_config(64), layout_of_four(64), shape).total());
}

// A Switch Transformer as in `switchyard benchmark`: 6+6 or 4+4 blocks, every other one sparse.
std::int64_t operations_of_benchmark(std::int64_t width, std::int64_t heads, int blocks,
                                     std::int64_t vocabulary, const StepShape& shape) {
  ModelConfig config;
  config.vocab_size = vocabulary;
  config.d_model = width;
  config.d_ff = 4 * width;
  config.d_kv = 64;
  config.num_heads = heads;
  config.input_length = shape.input_length;
  config.num_layers = config.num_decoder_layers = blocks;
  config.moe.num_experts = 8;
  return count_operations(config, {2, 1, 1, 8}, shape).total();
}

TEST(Operations, OfTheBenchmarksAreThoseByWhichOthersAreMeasured) {
  EXPECT_NEAR(1e-9 * static_cast<double>(
                         operations_of_benchmark(512, 8, 6, 32128, test::full_rows(8, 512, 114))),
              850.0, 0.05);
  EXPECT_NEAR(1e-9 * static_cast<double>(
                         operations_of_benchmark(256, 4, 4, 8000, test::full_rows(16, 256, 58))),
              138.5, 0.05);
}

TEST(Operations, DoNotCountPadding) {
  const ModelConfig config = test::small_config(3);
  StepShape padded = test::full_rows(8, 11, 7);
  padded.input_length = 20;
  padded.target_length = 20;
  EXPECT_EQ(count_operations(config, layout_of_four(3), padded).total(),
            count_operations(config, layout_of_four(3), test::full_rows(8, 11, 7)).total());
}

}  // namespace
}  // namespace switchyard
