// Rounding to bf16, and the sweeps that write bf16: each equals its f32 version, rounded once.
#include "tensor/rounding.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "support/random_tensor.hpp"
#include "tensor/cross_entropy.hpp"
#include "tensor/ops.hpp"
#include "tensor/param.hpp"

namespace switchyard {
namespace {

Tensor<float> widened(const Tensor<bfloat16>& x) {
  auto y = Tensor<float>::uninitialized(x.rows(), x.cols());
  convert<bfloat16, float>(x.view(), y.view());
  return y;
}

void expect_rounded(const Tensor<bfloat16>& actual, const Tensor<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.flat().size(); ++i) {
    ASSERT_EQ(actual.flat()[i], to_bfloat16(expected.flat()[i])) << i;
  }
}

TEST(Bfloat16, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(to_float(to_bfloat16(1.0f)), 1.0f);
  EXPECT_EQ(to_float(to_bfloat16(1.0f + 0x1p-8f)), 1.0f);             // a tie, down to even
  EXPECT_EQ(to_float(to_bfloat16(1.0f + 3 * 0x1p-8f)), 1 + 0x1p-6f);  // a tie, up to even
  EXPECT_EQ(to_float(to_bfloat16(1.0f + 0x1.002p-8f)), 1 + 0x1p-7f);
  EXPECT_EQ(to_float(to_bfloat16(-1.0f - 0x1.002p-8f)), -1 - 0x1p-7f);
  EXPECT_EQ(to_float(to_bfloat16(0x1.ffp127f)), std::numeric_limits<float>::infinity());
}

TEST(Bfloat16, KeepsWhatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(to_float(to_bfloat16(infinity)), infinity);
  EXPECT_EQ(to_float(to_bfloat16(-infinity)), -infinity);
  const float quiet = std::bit_cast<float>(0x7f800001u);  // its payload is only in the lower half
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(quiet))));
}

TEST(Convert, AgreesWithElementsInStridedViews) {
  const auto x = random_tensor(9, 37, 1);
  auto y = Tensor<bfloat16>::zeros(9, 37);
  convert<float, bfloat16>(x.view().col_range(2, 33), y.view().col_range(1, 33));
  for (std::int64_t i = 0; i < 9; ++i) {
    for (std::int64_t j = 0; j < 33; ++j) {
      EXPECT_EQ(y.view()(i, j + 1), to_bfloat16(x.view()(i, j + 2)));
    }
    EXPECT_EQ(y.view()(i, 0), bfloat16());
    EXPECT_EQ(y.view()(i, 34), bfloat16());
  }
}

TEST(Converted, CopiesOnlyWhereTypesDiffer) {
  const auto x = random_tensor(4, 5, 1);
  const Converted<float, float> same(x.view());
  EXPECT_EQ(same.view().data, x.data());
  const Converted<bfloat16, float> other(x.view());
  EXPECT_EQ(other.view()(3, 4), to_bfloat16(x.view()(3, 4)));
}

class Sweeps : public testing::Test {
 protected:
  const Tensor<bfloat16> a_ = random_tensor<bfloat16>(7, 45, 1);
  const Tensor<bfloat16> b_ = random_tensor<bfloat16>(7, 45, 2);
  const Tensor<bfloat16> dy_ = random_tensor<bfloat16>(7, 45, 3);
  const Tensor<float> fa_ = widened(a_), fb_ = widened(b_), fdy_ = widened(dy_);
  Tensor<float> expected_ = Tensor<float>::zeros(7, 45), second_ = Tensor<float>::zeros(7, 45);
  Tensor<bfloat16> actual_ = Tensor<bfloat16>::zeros(7, 45),
                   actual_second_ = Tensor<bfloat16>::zeros(7, 45);
};

TEST_F(Sweeps, ActivationsRoundOnce) {
  relu_forward(fa_.view(), expected_.view());
  relu_forward(a_.view(), actual_.view());
  expect_rounded(actual_, expected_);
  gated_gelu_forward(fa_.view(), fb_.view(), expected_.view());
  gated_gelu_forward(a_.view(), b_.view(), actual_.view());
  expect_rounded(actual_, expected_);
  gated_gelu_backward(fa_.view(), fb_.view(), fdy_.view(), expected_.view(), second_.view());
  gated_gelu_backward(a_.view(), b_.view(), dy_.view(), actual_.view(), actual_second_.view());
  expect_rounded(actual_, expected_);
  expect_rounded(actual_second_, second_);
}

TEST_F(Sweeps, DropoutDropsTheSameAndRoundsOnce) {
  const RandomStream stream(1, Purpose::hidden_dropout, 2, 3);
  const std::vector<std::uint64_t> index = {5, 6, 7, 8, 9, 10, 11};
  auto f32 = widened(a_);
  apply_dropout(f32.view(), 0.3f, stream, index);
  auto bf16 = rounded<bfloat16>(widened(a_));
  apply_dropout(bf16.view(), 0.3f, stream, index);
  expect_rounded(bf16, f32);
  EXPECT_THAT(f32.flat(), testing::Contains(0.0f));
}

TEST_F(Sweeps, NormSoftmaxAndCrossEntropyRoundOnce) {
  const auto scale = random_tensor(1, 45, 4);
  std::vector<float> inverse(7);
  rms_norm_forward(fa_.view(), scale.flat(), 1e-6f, expected_.view(), inverse);
  rms_norm_forward(fa_.view(), scale.flat(), 1e-6f, actual_.view(), inverse);
  expect_rounded(actual_, expected_);

  auto scores = copy_of(fa_.view()), scores_too = copy_of(fa_.view());
  attention_softmax_forward(scores.view(), {0, 30, true}, nullptr, actual_.view());
  attention_softmax_forward(scores_too.view(), {0, 30, true}, nullptr, expected_.view());
  expect_rounded(actual_, expected_);
  const auto weights = widened(actual_);
  auto d = copy_of(fdy_.view()), d_too = copy_of(fdy_.view());
  attention_softmax_backward(weights.view(), d.view(), {0, 30, true}, nullptr, expected_.view());
  attention_softmax_backward(actual_.view(), d_too.view(), {0, 30, true}, nullptr,
                             actual_second_.view());
  expect_rounded(actual_second_, expected_);

  const std::vector<std::int32_t> targets = {0, 44, -1, 3, 5, 7, 9};
  const std::vector<float> log_z(7, 4.0f);
  auto logits = copy_of(fa_.view());
  cross_entropy_backward(logits.view(), targets, log_z, 0.25f, {}, actual_.view());
  cross_entropy_backward(logits.view(), targets, log_z, 0.25f, {}, expected_.view());
  expect_rounded(actual_, expected_);
}

TEST(ParamSet, RoundsItsValuesAnewWhenAsked) {
  ParamSet params({{"a", "a", 3, 5, std::nullopt, {Initializer::Kind::normal, 1}},
                   {"b", "b", 2, 7, ExpertId(1), {Initializer::Kind::normal, 1}}},
                  1, 1, 9);
  EXPECT_EQ(params[0].rounded.data, nullptr);
  EXPECT_EQ(params[0].input<float>().data, params[0].value.data);
  for (const float value : {0.3f, 1.7f}) {
    params[1].value(1, 6) = value;
    params.round_values();
    for (const Param& param : params.params()) {
      const View<const bfloat16> copy = param.input<bfloat16>();
      ASSERT_EQ(copy.size(), param.value.size());
      for (std::int64_t i = 0; i < copy.size(); ++i) {
        EXPECT_EQ(copy.data[i], to_bfloat16(param.value.data[i])) << param.name();
      }
    }
  }
}

}  // namespace
}  // namespace switchyard
