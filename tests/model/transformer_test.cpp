#include "model/transformer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "small_model.hpp"

namespace switchyard {
namespace {

using namespace test;

// Every gradient leaf of every tensor.
std::vector<std::vector<float>> gradients(const Bench& bench) {
  std::vector<std::vector<float>> all;
  for (const Param& param : bench.model.parameters().params()) {
    for (const GradientLeaf& leaf : param.leaves) {
      all.emplace_back(leaf.view().flat().begin(), leaf.view().flat().end());
    }
  }
  return all;
}

ModelConfig noisy(ModelConfig config) {
  config.dropout_rate = config.moe.expert_dropout_rate = 0.1f;
  return config;
}

std::vector<float> losses(const Transformer::Output& output) {
  return {output.token_loss.flat().begin(), output.token_loss.flat().end()};
}

void expect_padding_says_nothing(const ModelConfig& config) {
  Bench bench(test_world(), config, 2);
  const Batch batch = random_batch(2, 3, 10, 8, config.vocab_size);
  const std::vector<float> before = losses(bench.step(batch));
  const auto gradients_before = gradients(bench);

  Batch scribbled = batch;
  std::int32_t ids_changed = 0;
  const auto scribble = [&](Buffer<std::int32_t>& ids, const auto& lengths, std::int64_t n) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = i / static_cast<std::size_t>(n);
      if (static_cast<std::int32_t>(i % static_cast<std::size_t>(n)) < lengths[row]) continue;
      ids[i] = 1 + ids_changed++ % 40;
    }
  };
  scribble(scribbled.inputs, batch.input_lengths, batch.input_length);
  scribble(scribbled.targets, batch.target_lengths, batch.target_length);
  ASSERT_GT(ids_changed, 20);
  EXPECT_EQ(losses(bench.step(scribbled)), before);
  EXPECT_EQ(gradients(bench), gradients_before);
}

TEST(Transformer, PaddingInfluencesNothingReal) {
  expect_padding_says_nothing(noisy(small_config(0)));
  expect_padding_says_nothing(noisy(small_config(4)));
}

TEST(Transformer, ATargetChangesNoLossBeforeIt) {
  ModelConfig config = small_config(4);
  config.moe.dropless = true;  // otherwise a change may drop a later token
  Bench bench(test_world(), config, 1);
  Batch batch = random_batch(1, 2, 10, 8, config.vocab_size);
  batch.target_lengths = {8, 0};
  const std::vector<float> before = losses(bench.step(batch));
  for (std::size_t t = 0; t < 8; ++t) {
    Batch changed = batch;
    changed.targets[t] = changed.targets[t] % 40 + 3;
    const std::vector<float> after = losses(bench.step(changed));
    for (std::size_t i = 0; i < t; ++i) EXPECT_NEAR(after[i], before[i], 1e-5) << t << " " << i;
    EXPECT_GT(std::abs(after[t] - before[t]), 1e-4) << t;
    if (t < 7) {
      EXPECT_GT(std::abs(after[t + 1] - before[t + 1]), 1e-4) << t;
    }
  }
}

TEST(Transformer, ARankOfEmptyRowsAddsNoLossAndNoGradient) {
  const ModelConfig config = noisy(small_config(4));
  Bench bench(test_world(), config, 2);
  Batch batch = random_batch(2, 2, 10, 8, config.vocab_size);
  for (const std::size_t row : {2u, 3u}) batch.input_lengths[row] = batch.target_lengths[row] = 0;
  count_tokens(batch);
  const Transformer::Output output = bench.step(batch);
  EXPECT_THAT(losses(output),
              testing::Each(testing::Truly([](float x) { return std::isfinite(x); })));
  for (std::int64_t i = 2 * 8; i < 4 * 8; ++i) EXPECT_EQ(output.token_loss.data()[i], 0);
  for (const Param& param : bench.model.parameters().params()) {
    if (param.is_expert()) continue;
    EXPECT_THAT(param.leaves[1].view().flat(), testing::Each(0.0f)) << param.name();
    EXPECT_THAT(param.leaves[0].view().flat(), testing::Contains(testing::Ne(0.0f)))
        << param.name();
  }
}

TEST(Transformer, GradientsOfTwoBackwardsAddUp) {
  const ModelConfig config = noisy(small_config(4));
  Bench bench(test_world(), config, 2);
  const Batch batch = random_batch(2, 2, 10, 8, config.vocab_size);
  bench.step(batch);
  const auto once = gradients(bench);
  bench.model.forward_backward(bench.context, batch);
  const auto twice = gradients(bench);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < once.size(); ++i) {
    for (std::size_t j = 0; j < once[i].size(); ++j) {
      error += std::pow(twice[i][j] - 2 * once[i][j], 2);
      size += std::pow(once[i][j], 2);
    }
  }
  EXPECT_LT(std::sqrt(error), 1e-6 * std::sqrt(size));
}

// One step of gradient descent along the sum of all leaves.
void descend(ParamSet& params, float rate) {
  for (Param& param : params.params()) {
    for (const GradientLeaf& leaf : param.leaves) {
      const View<const float> d = leaf.view();
      for (std::int64_t i = 0; i < d.size(); ++i) param.value.data[i] -= rate * d.data[i];
    }
  }
}

void expect_learns_by_heart(ModelConfig config) {
  config.moe.jitter_eps = 0;
  Bench bench(test_world(), config, 2);
  const Batch batch = random_batch(2, 2, 10, 6, config.vocab_size);
  const auto mean_loss = [&](const Transformer::Output& output) {
    const std::vector<float> all = losses(output);
    return std::accumulate(all.begin(), all.end(), 0.0) / static_cast<double>(batch.target_tokens);
  };
  const double first = mean_loss(bench.step(batch));
  for (int i = 0; i < 150; ++i) {
    descend(bench.model.parameters(), 0.5f);
    bench.step(batch);
  }
  bench.context.mode = Mode::evaluate;
  const Transformer::Output output = bench.model.forward(bench.context, batch);
  EXPECT_GT(first, 2.0);
  EXPECT_LT(mean_loss(output), 0.1);
  ASSERT_EQ(output.predictions.size(), batch.targets.size());
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    const auto row = i / 6;
    if (static_cast<std::int32_t>(i % 6) >= batch.target_lengths[row]) continue;
    EXPECT_EQ(output.predictions[i], batch.targets[i]) << i;
  }
}

TEST(Transformer, LearnsABatchByHeart) {
  expect_learns_by_heart(small_config(0));
  expect_learns_by_heart(small_config(4));
}

TEST(Transformer, LearnsABatchByHeartGatedAndUntied) {
  ModelConfig config = small_config(4);
  config.activation = Activation::gated_gelu;
  config.tie_word_embeddings = false;
  config.encoder_sparse_step = 1;
  expect_learns_by_heart(config);
}

TEST(Transformer, ReportsTheRoutingOfEachSparseLayer) {
  ModelConfig config = small_config(4);
  config.decoder_sparse_step = 1;
  Bench bench(test_world(), config, 2);
  const Batch batch = random_batch(2, 2, 10, 8, config.vocab_size);
  const Transformer::Output output = bench.step(batch);
  std::vector<std::string> names;
  for (const SparseLayerStats& layer : output.sparse_layers) {
    names.emplace_back(layer.name);
    ASSERT_EQ(layer.groups.size(), 2u);
    const std::int64_t real = layer.groups[0].real_tokens + layer.groups[1].real_tokens;
    EXPECT_EQ(real, layer.decoder ? batch.target_tokens : batch.input_tokens);
  }
  EXPECT_THAT(names, testing::ElementsAre("encoder.block.1", "decoder.block.0", "decoder.block.1"));
}

TEST(Transformer, TellsTheExpertOfEachTokenInEvaluationAlone) {
  const ModelConfig config = small_config(4);
  Bench bench(test_world(), config, 2);
  const Batch batch = random_batch(2, 2, 10, 8, config.vocab_size);
  for (const SparseLayerStats& layer : bench.step(batch).sparse_layers)
    EXPECT_TRUE(layer.expert.empty());
  bench.context.mode = Mode::evaluate;
  const Transformer::Output output = bench.model.forward(bench.context, batch);
  for (const SparseLayerStats& layer : output.sparse_layers) {
    const std::int64_t length = layer.decoder ? 8 : 10;
    const auto& lengths = layer.decoder ? batch.target_lengths : batch.input_lengths;
    ASSERT_EQ(layer.expert.size(), 4 * static_cast<std::size_t>(length));
    std::vector<std::int64_t> wanted[2] = {std::vector<std::int64_t>(4),
                                           std::vector<std::int64_t>(4)};
    for (std::int64_t i = 0; i < 4 * length; ++i) {
      const std::int64_t row = i / length;
      const std::int32_t expert = layer.expert[static_cast<std::size_t>(i)];
      EXPECT_EQ(expert >= 0, i % length < lengths[static_cast<std::size_t>(row)]) << i;
      if (expert >= 0) ++wanted[row / 2][static_cast<std::size_t>(expert)];
    }
    for (const int v : {0, 1}) EXPECT_EQ(wanted[v], layer.groups[v].tokens_per_expert);
  }
}

TEST(Transformer, WithoutGradientsHoldsNoLeaves) {
  const ModelConfig config = small_config(4);
  const Layout layout(2, 1, 1, 4);
  const Transformer model(config, layout, Rank{0}, 17, Transformer::Gradients::no);
  for (const Param& param : model.parameters().params()) EXPECT_TRUE(param.leaves.empty());
}

TEST(Transformer, ListsDenseTensorsBeforeExperts) {
  const Bench bench(test_world(), small_config(4), 2);
  const auto params = bench.model.parameters().params();
  EXPECT_TRUE(std::is_partitioned(params.begin(), params.end(),
                                  [](const Param& param) { return !param.is_expert(); }));
  for (const Param& param : params) {
    EXPECT_EQ(param.leaves.size(), param.is_expert() ? 1u : 2u) << param.name();
  }
}

}  // namespace
}  // namespace switchyard
