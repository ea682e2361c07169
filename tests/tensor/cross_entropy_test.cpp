#include "tensor/cross_entropy.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "support/invariance.hpp"
#include "support/ops_reference.hpp"
#include "support/random_tensor.hpp"
#include "tensor/ops.hpp"

namespace switchyard {
namespace {

using reference::Doubles;

struct CrossEntropyResult {
  std::vector<float> loss, log_z;
  std::vector<std::int32_t> argmax;
  Tensor<float> d;
};

CrossEntropyResult run(View<const float> logits, std::span<const std::int32_t> targets,
                       float scale) {
  const auto rows = static_cast<std::size_t>(logits.rows);
  CrossEntropyResult result{std::vector<float>(rows), std::vector<float>(rows),
                            std::vector<std::int32_t>(rows), copy_of(logits)};
  cross_entropy_forward(logits, targets, result.loss, result.log_z, result.argmax.data());
  cross_entropy_backward(result.d.view(), targets, result.log_z, scale, {}, result.d.view());
  return result;
}

TEST(CrossEntropy, AndItsGradientAgreeWithTheReference) {
  auto logits = random_tensor(6, 101, 1);
  for (float& v : logits.flat()) v *= 5;
  const std::vector<std::int32_t> targets = {0, 100, -1, 50, 7, 7};
  const auto result = run(logits.view(), targets, 0.25f);
  const Doubles xs = as_doubles(logits.flat());
  EXPECT_LT(relative_error(result.loss, reference::cross_entropy(xs, targets)), 1e-6);
  EXPECT_EQ(result.loss[2], 0.0f);
  const auto expected = reference::central_differences(xs, [&](const Doubles& v) {
    return 0.25 * reference::dot(reference::cross_entropy(v, targets), Doubles(6, 1.0));
  });
  EXPECT_LT(relative_error(result.d.flat(), expected), 1e-5);
  for (std::int64_t j = 0; j < 101; ++j) EXPECT_EQ(result.d.view()(2, j), 0.0f);
}

TEST(ExtraLoss, AndItsGradientAgreeWithTheReference) {
  auto logits = random_tensor(6, 101, 1);
  for (float& v : logits.flat()) v *= 5;
  const std::vector<std::int32_t> targets = {0, 100, -1, 50, 7, 7};
  const Doubles xs = as_doubles(logits.flat());
  const auto plain = run(logits.view(), targets, 0.25f);
  for (const ExtraLoss extra : {ExtraLoss{0.1f, 0}, ExtraLoss{0, 0.01f}, ExtraLoss{0.3f, 0.1f}}) {
    const auto expected_loss = [&](const Doubles& v) {
      return reference::smoothed_cross_entropy(v, targets, extra.label_smoothing, extra.z_loss);
    };
    std::vector<float> total(6);
    extra_loss_forward(logits.view(), targets, plain.log_z, extra, total);
    EXPECT_EQ(total[2], 0.0f);
    for (std::size_t i = 0; i < 6; ++i) total[i] += plain.loss[i];
    EXPECT_LT(relative_error(total, expected_loss(xs)), 1e-6);

    Tensor<float> d = copy_of(logits.view());
    cross_entropy_backward(d.view(), targets, plain.log_z, 0.25f, extra, d.view());
    const auto expected = reference::central_differences(xs, [&](const Doubles& v) {
      return 0.25 * reference::dot(expected_loss(v), Doubles(6, 1.0));
    });
    EXPECT_LT(relative_error(d.flat(), expected), 1e-5);
    for (std::int64_t j = 0; j < 101; ++j) EXPECT_EQ(d.view()(2, j), 0.0f);
  }
}

TEST(CrossEntropy, TheLossIsLogZMinusTheTargetsLogit) {
  const auto logits = random_tensor(3, 40, 1);
  const std::vector<std::int32_t> targets = {1, 2, 3};
  const auto result = run(logits.view(), targets, 1);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(result.loss[i],
                result.log_z[i] - logits.view()(static_cast<std::int64_t>(i), targets[i]), 1e-6);
  }
}

TEST(CrossEntropy, ArgmaxTakesTheLowestIndexAndPassesOverNaN) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  auto logits = Tensor<float>::zeros(4, 40);
  logits.view()(0, 33) = logits.view()(0, 9) = 2;
  logits.view()(1, 0) = nan;
  logits.view()(1, 39) = 1;
  for (std::int64_t j = 0; j < 40; ++j) logits.view()(3, j) = nan;
  const auto result = run(logits.view(), std::vector<std::int32_t>{0, 1, -1, 0}, 1);
  EXPECT_EQ(result.argmax, (std::vector<std::int32_t>{9, 39, 0, 0}));
  EXPECT_TRUE(std::isnan(result.loss[1]));
  EXPECT_TRUE(std::isnan(result.loss[3]));
}

TEST(CrossEntropy, SurvivesLargeLogits) {
  const std::vector<float> logits = {3e4f, 3e4f, -3e4f};
  const auto result = run({logits.data(), 1, 3}, std::vector<std::int32_t>{0}, 1);
  EXPECT_NEAR(result.loss[0], std::log(2.0), 1e-6);
}

TEST(CrossEntropy, BitsDependOnNeitherThreadsNorOtherRows) {
  const auto logits = random_tensor(40, 1001, 1);
  std::vector<std::int32_t> targets(40);
  for (std::size_t i = 0; i < 40; ++i) targets[i] = static_cast<std::int32_t>(i) - 3;
  expect_same_bits_in_every_team([&] {
    const auto result = run(logits.view(), targets, 0.1f);
    auto bits = bits_of(result.d.flat());
    for (const std::uint32_t b : bits_of(result.loss)) bits.push_back(b);
    return bits;
  });
  const auto all = run(logits.view(), targets, 1);
  const auto one = run(logits.row_range(20, 1), std::span(targets).subspan(20, 1), 1);
  EXPECT_EQ(bits_of(one.loss)[0], bits_of(all.loss)[20]);
  EXPECT_EQ(bits_of(one.d.flat()), bits_of(all.d.view().row_range(20, 1).flat()));
}

}  // namespace
}  // namespace switchyard
