// The first contract for the model: the bits of losses and gradient leaves depend on the virtual
// ranks, not on the processes that host them or on the number of threads.
#include <gtest/gtest.h>
#include <omp.h>

#include "small_model.hpp"
#include "support/random_tensor.hpp"

namespace switchyard {
namespace {

using namespace test;

constexpr int V = 4;

struct Shape {
  std::string name;
  ModelConfig config;
  std::int64_t rows, input_length, target_length;

  void in_bfloat16() {
    name += ", BFLOAT16";
    config.precision = Precision::bfloat16;
  }
};

std::vector<Shape> shapes() {
  ModelConfig dense = small_config(0);
  dense.dropout_rate = 0.1f;
  ModelConfig sparse = small_config(6);
  sparse.dropout_rate = sparse.moe.expert_dropout_rate = 0.1f;
  sparse.moe.jitter_eps = 0.05;
  sparse.moe.z_loss_coef = 0.001;
  sparse.moe.capacity_factor = 1.0;
  ModelConfig gated = sparse;
  gated.activation = Activation::gated_gelu;
  gated.tie_word_embeddings = false;
  gated.d_model = 64;
  gated.d_ff = 160;
  gated.d_kv = 16;
  gated.num_heads = 4;
  gated.vocab_size = 1100;
  gated.encoder_sparse_step = 1;
  ModelConfig windowed = sparse;
  windowed.encoder_window = AttentionWindow{5, 2};
  std::vector<Shape> shapes = {{"dense", dense, 3, 13, 7},
                               {"sparse", sparse, 3, 13, 7},
                               {"gated", gated, 5, 64, 33},
                               {"windowed", windowed, 3, 53, 7}};
  for (const std::size_t i : {0u, 1u, 2u, 3u}) {
    shapes.push_back(shapes[i]);
    shapes.back().in_bfloat16();
  }
  return shapes;
}

std::int64_t dropped(const Transformer::Output& output) {
  std::int64_t count = 0;
  for (const SparseLayerStats& layer : output.sparse_layers) {
    for (const RoutingStats& group : layer.groups) count += group.dropped;
  }
  return count;
}

TEST(ModelInvariance, ProcessesChangeNoBitOfLossesAndLeaves) {
  const Comm alone = test_world().split(static_cast<int>(test_world().rank().value), 0);
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(shape.name);
    const Batch batch = random_batch(V, shape.rows, shape.input_length, shape.target_length,
                                     shape.config.vocab_size);
    Bench whole(alone, shape.config, V), shared(test_world(), shape.config, V);
    const Transformer::Output expected = whole.step(batch), actual = shared.step(batch);
    if (shape.config.moe.num_experts > 0) {
      EXPECT_GT(dropped(expected), 0);
    }

    const Interval<VirtualRank> hosted = shared.context.hosted();
    EXPECT_TRUE(same_bits(actual.token_loss.view(),
                          expected.token_loss.row_range(hosted.first.value * shape.rows,
                                                        hosted.size() * shape.rows)));
    const auto by_name = whole.by_name();
    for (const auto& [name, param] : shared.by_name()) {
      const Param& reference = *by_name.at(name);
      EXPECT_TRUE(same_bits<float>(param->value, reference.value)) << name;
      for (std::size_t i = 0; i < param->leaves.size(); ++i) {
        const std::size_t leaf =
            param->is_expert() ? i : i + static_cast<std::size_t>(hosted.first.value);
        EXPECT_TRUE(same_bits<float>(param->leaves[i].view(), reference.leaves[leaf].view()))
            << name << ", leaf " << leaf;
      }
    }
  }
}

TEST(ModelInvariance, ThreadsChangeNoBitOfLossesAndLeaves) {
  const int before = omp_get_max_threads();
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(shape.name);
    const Batch batch = random_batch(V, shape.rows, shape.input_length, shape.target_length,
                                     shape.config.vocab_size);
    Bench one(test_world(), shape.config, V), more(test_world(), shape.config, V);
    omp_set_num_threads(1);
    const Transformer::Output expected = one.step(batch);
    for (const int threads : {2, 3}) {
      omp_set_num_threads(threads);
      const Transformer::Output actual = more.step(batch);
      EXPECT_TRUE(same_bits(actual.token_loss.view(), expected.token_loss.view()));
      const auto by_name = one.by_name();
      for (const auto& [name, param] : more.by_name()) {
        for (std::size_t i = 0; i < param->leaves.size(); ++i) {
          EXPECT_TRUE(same_bits<float>(param->leaves[i].view(), by_name.at(name)->leaves[i].view()))
              << name << ", leaf " << i << ", threads " << threads;
        }
      }
    }
  }
  omp_set_num_threads(before);
}

TEST(ModelInvariance, AMicroStepTakenManyTimesGivesTheGradientOfOne) {
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(shape.name);
    Batch batch = random_batch(V, shape.rows, shape.input_length, shape.target_length,
                               shape.config.vocab_size);
    // Each gradient is a fraction of the whole; in bfloat16 it is a power of two, so that both
    // round alike.
    const int times = shape.config.precision == Precision::bfloat16 ? 4 : 3;
    Bench once(test_world(), shape.config, V), many(test_world(), shape.config, V);
    once.step(batch);
    batch.input_tokens *= times;
    batch.target_tokens *= times;
    many.context.micro_steps = times;
    const Batch mine = slice(batch, many.context.hosted());
    for (int m = 0; m < times; ++m) {
      many.model.forward_backward(many.context, mine);
    }
    const auto by_name = once.by_name();
    for (const auto& [name, param] : many.by_name()) {
      for (std::size_t leaf = 0; leaf < param->leaves.size(); ++leaf) {
        const std::span<const float> sum = param->leaves[leaf].view().flat(),
                                     expected = by_name.at(name)->leaves[leaf].view().flat();
        EXPECT_LE(relative_error(sum, as_doubles(expected)), 1e-6) << name << ", leaf " << leaf;
      }
    }
  }
}

// Two micro-steps with different rows, accumulated in the same leaves.
std::vector<Transformer::Output> accumulate(Bench& bench, const Shape& shape) {
  bench.context.micro_steps = 2;
  const Batch whole = random_batch(2 * V, shape.rows, shape.input_length, shape.target_length,
                                   shape.config.vocab_size);
  const Interval<VirtualRank> hosted = bench.context.hosted();
  std::vector<Transformer::Output> outputs;
  for (const int first : {0, V}) {
    const Batch mine = slice(
        whole, {VirtualRank(first + hosted.first.value), VirtualRank(first + hosted.last.value)});
    outputs.push_back(bench.model.forward_backward(bench.context, mine));
  }
  return outputs;
}

void expect_same_routing(const Transformer::Output& actual, const Transformer::Output& expected) {
  ASSERT_EQ(actual.sparse_layers.size(), expected.sparse_layers.size());
  for (std::size_t i = 0; i < actual.sparse_layers.size(); ++i) {
    const auto &a = actual.sparse_layers[i].groups, &b = expected.sparse_layers[i].groups;
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t g = 0; g < a.size(); ++g) {
      EXPECT_EQ(a[g].real_tokens, b[g].real_tokens);
      EXPECT_EQ(a[g].dropped, b[g].dropped);
      EXPECT_EQ(a[g].tokens_per_expert, b[g].tokens_per_expert);
      EXPECT_EQ(a[g].balance_sum, b[g].balance_sum);
      EXPECT_EQ(a[g].z_sum, b[g].z_sum);
    }
  }
}

void expect_same_leaves(const Bench& actual, const Bench& expected) {
  const auto by_name = expected.by_name();
  for (const auto& [name, param] : actual.by_name()) {
    for (std::size_t i = 0; i < param->leaves.size(); ++i) {
      EXPECT_TRUE(same_bits<float>(param->leaves[i].view(), by_name.at(name)->leaves[i].view()))
          << name << ", leaf " << i;
    }
  }
}

TEST(ModelInvariance, RecomputationChangesNoBitAndCountsNothingTwice) {
  for (const Shape& shape : shapes()) {
    for (const int groups : {1, 2}) {
      if (groups == 2 && test_world().size() == 3) continue;  // no whole groups
      SCOPED_TRACE(shape.name + ", replicas " + std::to_string(groups));
      Bench kept(test_world(), shape.config, V, groups);
      const std::vector<Transformer::Output> expected = accumulate(kept, shape);
      std::int64_t work = kept.work.multiply_adds;
      for (const Recompute recompute : {Recompute::attention, Recompute::block}) {
        ModelConfig config = shape.config;
        config.recompute = recompute;
        Bench again(test_world(), config, V, groups);
        const std::vector<Transformer::Output> actual = accumulate(again, shape);
        for (std::size_t m = 0; m < actual.size(); ++m) {
          EXPECT_TRUE(same_bits(actual[m].token_loss.view(), expected[m].token_loss.view()));
          expect_same_routing(actual[m], expected[m]);
        }
        expect_same_leaves(again, kept);
        EXPECT_GT(again.work.multiply_adds, work) << "nothing was computed again";
        work = again.work.multiply_adds;
      }
    }
  }
}

TEST(ModelInvariance, EvaluationGivesTheSameBitsOnAnyProcesses) {
  const Comm alone = test_world().split(static_cast<int>(test_world().rank().value), 0);
  for (const Shape& shape : shapes()) {
    SCOPED_TRACE(shape.name);
    const Batch batch = random_batch(V, shape.rows, shape.input_length, shape.target_length,
                                     shape.config.vocab_size);
    Bench whole(alone, shape.config, V), shared(test_world(), shape.config, V);
    whole.context.mode = shared.context.mode = Mode::evaluate;
    const Interval<VirtualRank> hosted = shared.context.hosted();
    const Transformer::Output expected = whole.model.forward(whole.context, batch);
    const Transformer::Output actual = shared.model.forward(shared.context, slice(batch, hosted));
    const std::int64_t first = hosted.first.value * shape.rows, rows = hosted.size() * shape.rows;
    EXPECT_TRUE(same_bits(actual.token_loss.view(), expected.token_loss.row_range(first, rows)));
    const auto begin = expected.predictions.begin() + first * shape.target_length;
    EXPECT_EQ(actual.predictions,
              std::vector<std::int32_t>(begin, begin + rows * shape.target_length));
  }
}

}  // namespace
}  // namespace switchyard
