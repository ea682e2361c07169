#include "model/logits.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "gradient_check.hpp"
#include "tensor/cross_entropy.hpp"

namespace switchyard::logits_test {
namespace {

using namespace test;

constexpr std::int64_t D = 3, W = 5;

// inputs: kernel, hidden. Returns the loss of each position.
Values reference(bool tied, const std::vector<std::int32_t>& targets,
                 const std::vector<Values>& in) {
  Values loss;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    Values logits(W, 0);
    double sum = 0;
    for (std::size_t w = 0; w < W; ++w) {
      for (std::size_t d = 0; d < D; ++d) {
        const double kernel = tied ? in[0][w * D + d] / std::sqrt(double{D}) : in[0][d * W + w];
        logits[w] += in[1][i * D + d] * kernel;
      }
      sum += std::exp(logits[w]);
    }
    loss.push_back(targets[i] < 0 ? 0
                                  : std::log(sum) - logits[static_cast<std::size_t>(targets[i])]);
  }
  return loss;
}

// Each virtual rank has more positions than one chunk of logits.
void check(bool tied) {
  constexpr std::int64_t ranks = 2, positions = 2 * 515;
  constexpr float scale = 0.25f;
  OneProcess process(ranks);
  ParamSet params = make_params({{"kernel", tied ? W : D, random_values(W * D, 1)}}, ranks);
  const std::vector<Values> inputs = {to_values(params[0].value), random_values(positions * D, 2)};
  std::vector<std::int32_t> targets;
  for (std::int32_t i = 0; i < positions; ++i) targets.push_back(i % 6 == 5 ? -1 : i % 6);
  const auto layer = [&](const std::vector<Values>& in) { return reference(tied, targets, in); };

  const Logits logits(0, tied);
  const LogitsOutput out = logits.forward_backward(
      process.context, params, make_sequence(ranks, 1, positions / ranks, {515, 515}),
      to_tensor(inputs[1], positions), targets, scale);
  expect_close(to_values(out.loss.view()), layer(inputs), "loss");
  EXPECT_TRUE(out.predictions.empty());
  for (std::size_t i = 5; i < targets.size(); i += 6) EXPECT_EQ(out.loss.flat()[i], 0);

  const Values dy(positions, scale);
  expect_leaves_close(params, ranks, dy, layer, inputs);
  const auto loss = [&](const std::vector<Values>& in) { return dot(dy, layer(in)); };
  expect_close(to_values(out.d_hidden.view()), numeric_gradient(loss, inputs, 1), "d hidden");
}

TEST(Logits, TiedGradientsMatchCentralDifferences) { check(true); }
TEST(Logits, UntiedGradientsMatchCentralDifferences) { check(false); }

TEST(Logits, AddExtraLossesInTrainingOnlyAndBesideTheCrossEntropy) {
  const auto run = [](Mode mode, ExtraLoss extra) {
    OneProcess process(1, mode);
    const ParamSet params = make_params({{"kernel", D, random_values(W * D, 1)}}, 1);
    const std::vector<std::int32_t> targets = {0, -1, 4};
    return Logits(0, false, extra)
        .forward(process.context, params, make_sequence(1, 1, 3, {3}),
                 to_tensor(random_values(3 * D, 2), 3), targets);
  };
  const ExtraLoss extra{.label_smoothing = 0.1f, .z_loss = 0.01f};
  const LogitsOutput plain = run(Mode::train, {}), training = run(Mode::train, extra),
                     evaluation = run(Mode::evaluate, extra);
  EXPECT_EQ(plain.extra_loss.size(), 0);
  EXPECT_EQ(evaluation.extra_loss.size(), 0);
  EXPECT_EQ(to_values(training.loss.view()), to_values(plain.loss.view()));
  EXPECT_EQ(to_values(evaluation.loss.view()), to_values(plain.loss.view()));
  ASSERT_EQ(training.extra_loss.size(), 3);
  EXPECT_NE(training.extra_loss.flat()[0], 0);
  EXPECT_EQ(training.extra_loss.flat()[1], 0);
}

TEST(Logits, PredictTheLargestInEvaluation) {
  OneProcess process(1, Mode::evaluate);
  const ParamSet params = make_params({{"kernel", 2, {0, 1, 0, 0, 0, 0, 0, 2, 2, 0}}}, 1);
  const std::vector<std::int32_t> targets = {0, -1, 0};
  const LogitsOutput out =
      Logits(0, false).forward(process.context, params, make_sequence(1, 1, 3, {3}),
                               to_tensor({1, 0, 0, 1, -1, -1}, 3), targets);
  EXPECT_EQ(out.predictions, (std::vector<std::int32_t>{1, 2, 0}));
}

}  // namespace
}  // namespace switchyard::logits_test
