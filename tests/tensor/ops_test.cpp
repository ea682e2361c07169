#include "tensor/ops.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "support/invariance.hpp"
#include "support/ops_reference.hpp"
#include "support/random_tensor.hpp"
#include "tensor/rows.hpp"
#include "tensor/sum_of_squares.hpp"

namespace switchyard {
namespace {

using reference::Doubles;

constexpr double tolerance = 1e-5;  // norm-wise, of f32 against f64

struct RmsNormResult {
  Tensor<float> y, dx;
  std::vector<float> inverse_rms, d_scale;
};

RmsNormResult run_rms_norm(View<const float> x, View<const float> dy,
                           std::span<const float> scale) {
  RmsNormResult result{
      Tensor<float>::uninitialized(x.rows, x.cols), Tensor<float>::zeros(x.rows, x.cols),
      std::vector<float>(static_cast<std::size_t>(x.rows)), std::vector<float>(scale.size(), 0.0f)};
  rms_norm_forward(x, scale, 1e-6f, result.y.view(), result.inverse_rms);
  rms_norm_backward(dy, x, scale, result.inverse_rms, result.dx.view(), result.d_scale);
  return result;
}

TEST(SharedLoop, BringsAnErrorOfAnyThreadToItsCaller) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(4);
  for (const std::int64_t culprit : {0, 99}) {
    try {
      for_each_shared(100, 1 << 20, [&](std::int64_t i) {
        if (i == culprit) throw Error(ExitCode::io_error, "the sentence");
      });
      FAIL() << culprit;
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "the sentence");
    }
  }
  omp_set_num_threads(before);
}

TEST(RmsNorm, AndItsGradientsAgreeWithTheReference) {
  const auto x = random_tensor(70, 37, 1), dy = random_tensor(70, 37, 2),
             scale = random_tensor(1, 37, 3);
  const auto result = run_rms_norm(x.view(), dy.view(), scale.flat());
  const Doubles xs = as_doubles(x.flat()), scales = as_doubles(scale.flat()),
                dys = as_doubles(dy.flat());
  EXPECT_LT(relative_error(result.y.flat(), reference::rms_norm(xs, scales, 1e-6)), tolerance);
  EXPECT_LT(relative_error(result.dx.flat(), reference::central_differences(
                                                 xs,
                                                 [&](const Doubles& v) {
                                                   return reference::dot(
                                                       reference::rms_norm(v, scales, 1e-6), dys);
                                                 })),
            tolerance);
  EXPECT_LT(relative_error(result.d_scale, reference::central_differences(
                                               scales,
                                               [&](const Doubles& v) {
                                                 return reference::dot(
                                                     reference::rms_norm(xs, v, 1e-6), dys);
                                               })),
            tolerance);
}

TEST(RmsNorm, AddsToItsGradients) {
  const auto x = random_tensor(3, 20, 1), dy = random_tensor(3, 20, 2),
             scale = random_tensor(1, 20, 3);
  const auto once = run_rms_norm(x.view(), dy.view(), scale.flat());
  auto dx = Tensor<float>::zeros(3, 20);
  std::vector<float> d_scale(20, 1.0f);
  for (float& v : dx.flat()) v = 1;
  rms_norm_backward(dy.view(), x.view(), scale.flat(), once.inverse_rms, dx.view(), d_scale);
  for (std::size_t i = 0; i < 60; ++i) EXPECT_FLOAT_EQ(dx.flat()[i], 1 + once.dx.flat()[i]);
  for (std::size_t j = 0; j < 20; ++j) EXPECT_FLOAT_EQ(d_scale[j], 1 + once.d_scale[j]);
}

TEST(RmsNorm, BitsDependOnNeitherThreadsNorOtherRows) {
  const auto x = random_tensor(300, 129, 1), dy = random_tensor(300, 129, 2),
             scale = random_tensor(1, 129, 3);
  expect_same_bits_in_every_team([&] {
    const auto result = run_rms_norm(x.view(), dy.view(), scale.flat());
    auto bits = bits_of(result.y.flat());
    for (const auto part :
         {std::span<const float>(result.dx.flat()), std::span<const float>(result.d_scale)}) {
      const auto more = bits_of(part);
      bits.insert(bits.end(), more.begin(), more.end());
    }
    return bits;
  });
  const auto all = run_rms_norm(x.view(), dy.view(), scale.flat());
  const auto some = run_rms_norm(x.row_range(250, 3), dy.row_range(250, 3), scale.flat());
  EXPECT_EQ(bits_of(some.y.flat()), bits_of(all.y.view().row_range(250, 3).flat()));
  EXPECT_EQ(bits_of(some.dx.flat()), bits_of(all.dx.view().row_range(250, 3).flat()));
}

TEST(SumOfSquares, IsTakenInF64AndTheSameInEveryTeam) {
  const auto x = random_tensor(1, 100'003, 1);
  double expected = 0;
  for (const float v : x.flat()) expected += static_cast<double>(v) * static_cast<double>(v);
  EXPECT_NEAR(sum_of_squares(x.flat()), expected, 1e-12 * expected);
  EXPECT_EQ(sum_of_squares({}), 0.0);
  expect_same_bits_in_every_team([&] { return sum_of_squares(x.flat()); });
}

TEST(Activation, ReluAndItsGradientAgreeWithTheReference) {
  const auto x = random_tensor(9, 33, 1);
  auto y = Tensor<float>::uninitialized(9, 33);
  relu_forward(x.view(), y.view());
  EXPECT_EQ(as_doubles(y.flat()), reference::relu(as_doubles(x.flat())));
  auto d = random_tensor(9, 33, 2);
  const auto dy = random_tensor(9, 33, 2);
  relu_backward(x.view(), d.view());
  for (std::size_t i = 0; i < d.flat().size(); ++i) {
    EXPECT_EQ(d.flat()[i], x.flat()[i] > 0 ? dy.flat()[i] : 0.0f);
  }
}

TEST(Activation, GatedGeluAndItsGradientsAgreeWithTheReference) {
  auto a = random_tensor(9, 33, 1);
  const auto b = random_tensor(9, 33, 2), dy = random_tensor(9, 33, 3);
  for (float& v : a.flat()) v *= 4;
  auto y = Tensor<float>::uninitialized(9, 33), da = Tensor<float>::uninitialized(9, 33),
       db = Tensor<float>::uninitialized(9, 33);
  gated_gelu_forward(a.view(), b.view(), y.view());
  gated_gelu_backward(a.view(), b.view(), dy.view(), da.view(), db.view());
  const Doubles as = as_doubles(a.flat()), bs = as_doubles(b.flat()), dys = as_doubles(dy.flat());
  EXPECT_LT(relative_error(y.flat(), reference::gated_gelu(as, bs)), tolerance);
  EXPECT_LT(relative_error(da.flat(),
                           reference::central_differences(as,
                                                          [&](const Doubles& v) {
                                                            return reference::dot(
                                                                reference::gated_gelu(v, bs), dys);
                                                          })),
            tolerance);
  EXPECT_LT(relative_error(db.flat(),
                           reference::central_differences(bs,
                                                          [&](const Doubles& v) {
                                                            return reference::dot(
                                                                reference::gated_gelu(as, v), dys);
                                                          })),
            tolerance);
}

TEST(Activation, GatedGeluStaysFiniteFarOut) {
  const std::vector<float> a = {-1e4f, -50, 50, 1e4f}, ones(4, 1.0f);
  std::vector<float> y(4), da(4), db(4);
  const View<const float> one(ones.data(), 1, 4), at(a.data(), 1, 4);
  gated_gelu_forward<float>(at, one, {y.data(), 1, 4});
  EXPECT_EQ(y, (std::vector<float>{0, 0, 50, 1e4f}));
  gated_gelu_backward<float>(at, one, one, {da.data(), 1, 4}, {db.data(), 1, 4});
  EXPECT_EQ(da, (std::vector<float>{0, 0, 1, 1}));
  EXPECT_EQ(db, (std::vector<float>{0, 0, 50, 1e4f}));
}

TEST(Activation, BitsDependOnNeitherThreadsNorOtherRows) {
  const auto a = random_tensor(200, 131, 1), b = random_tensor(200, 131, 2);
  const auto run = [&](std::int64_t first, std::int64_t rows) {
    auto y = Tensor<float>::uninitialized(rows, 131);
    gated_gelu_forward(a.row_range(first, rows), b.row_range(first, rows), y.view());
    add(a.row_range(first, rows), y.view());
    relu_forward(y.view(), y.view());
    return y;
  };
  expect_same_bits_in_every_team([&] { return bits_of(run(0, 200).flat()); });
  EXPECT_EQ(bits_of(run(100, 1).flat()), bits_of(run(0, 200).row_range(100, 1).flat()));
}

std::vector<std::uint64_t> tokens_from(std::uint64_t first, std::size_t rows) {
  std::vector<std::uint64_t> tokens(rows);
  for (std::size_t i = 0; i < rows; ++i) tokens[i] = first + 7 * i;
  return tokens;
}

Tensor<float> dropped_ones(std::int64_t rows, std::int64_t cols, float rate,
                           std::uint64_t first_token, std::int64_t first_element = 0,
                           const RandomStream& stream = {5, Purpose::hidden_dropout, 2, 9}) {
  auto x = Tensor<float>::uninitialized(rows, cols);
  for (float& v : x.flat()) v = 1;
  apply_dropout(x.view(), rate, stream, tokens_from(first_token, static_cast<std::size_t>(rows)),
                first_element);
  return x;
}

TEST(Dropout, DrawsEachElementFromItsTokenAndPosition) {
  const auto x = dropped_ones(5, 301, 0.25f, 40);
  const RandomStream stream(5, Purpose::hidden_dropout, 2, 9);
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 0; j < 301; ++j) {
      const auto words =
          stream.block(static_cast<std::uint64_t>(40 + 7 * i), static_cast<std::uint64_t>(j / 4));
      const bool kept = unit_float(words[static_cast<std::size_t>(j % 4)]) >= 0.25f;
      ASSERT_EQ(x.view()(i, j), kept ? 1.0f / 0.75f : 0.0f) << i << "," << j;
    }
  }
}

TEST(Dropout, OfAPartOfARowIsThatPartOfTheRow) {
  const auto whole = dropped_ones(3, 600, 0.5f, 1);
  for (const std::int64_t first : {1, 2, 3, 4, 255, 256, 257, 300}) {
    const auto part = dropped_ones(3, 290, 0.5f, 1, first);
    for (std::int64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(bits_of({part.view().row(i), 290}), bits_of({whole.view().row(i) + first, 290}));
    }
  }
}

TEST(Dropout, KeepsTheExpectedShareAndRateZeroDoesNothing) {
  const auto x = dropped_ones(100, 1000, 0.1f, 0);
  double kept = 0;
  for (const float v : x.flat()) kept += v != 0;
  EXPECT_NEAR(kept / 1e5, 0.9, 0.005);  // five standard deviations
  const auto untouched = dropped_ones(2, 10, 0.0f, 0);
  for (const float v : untouched.flat()) EXPECT_EQ(v, 1.0f);
}

TEST(Dropout, IsDrawnAnewForEachSeedPurposeLayerAndStep) {
  constexpr std::int64_t rows = 100, cols = 1000;
  constexpr float rate = 0.25f;
  const auto mask = [](const RandomStream& stream) {
    return dropped_ones(rows, cols, rate, 0, 0, stream);
  };
  const auto base = mask({5, Purpose::hidden_dropout, 2, 9});
  for (const auto& other :
       {mask({6, Purpose::hidden_dropout, 2, 9}), mask({5, Purpose::attention_dropout, 2, 9}),
        mask({5, Purpose::hidden_dropout, 3, 9}), mask({5, Purpose::hidden_dropout, 2, 10})}) {
    double both = 0;
    for (std::int64_t i = 0; i < base.size(); ++i)
      both += base.data()[i] == 0 && other.data()[i] == 0;
    // Independent masks drop together rate^2 of the time; five standard deviations.
    EXPECT_NEAR(both / static_cast<double>(rows * cols), rate * rate, 0.004);
  }
}

TEST(Dropout, BitsDependOnNeitherThreadsNorOtherRows) {
  expect_same_bits_in_every_team([] { return bits_of(dropped_ones(60, 333, 0.3f, 3).flat()); });
  EXPECT_EQ(bits_of(dropped_ones(1, 333, 0.3f, 3 + 7 * 10).flat()),
            bits_of(dropped_ones(60, 333, 0.3f, 3).row_range(10, 1).flat()));
}

Tensor<float> jittered_ones(std::int64_t rows, float epsilon) {
  auto x = Tensor<float>::uninitialized(rows, 301), y = Tensor<float>::uninitialized(rows, 301);
  for (float& v : x.flat()) v = 1;
  jitter(x.view(), epsilon, {5, Purpose::router_jitter, 2, 9},
         tokens_from(40, static_cast<std::size_t>(rows)), y.view());
  return y;
}

TEST(Jitter, DrawsEachFactorFromItsTokenAndPosition) {
  const float epsilon = 0.01f;
  const auto x = jittered_ones(5, epsilon);
  const RandomStream stream(5, Purpose::router_jitter, 2, 9);
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 0; j < 301; ++j) {
      const auto words =
          stream.block(static_cast<std::uint64_t>(40 + 7 * i), static_cast<std::uint64_t>(j / 4));
      const float u = unit_float(words[static_cast<std::size_t>(j % 4)]);
      ASSERT_EQ(x.view()(i, j), 1 - epsilon + 2 * epsilon * u) << i << "," << j;
    }
  }
}

TEST(Jitter, AddsWithTheSameFactors) {
  const auto x = random_tensor(7, 301, 1);
  const RandomStream stream(5, Purpose::router_jitter, 2, 9);
  auto product = Tensor<float>::uninitialized(7, 301), sum = random_tensor(7, 301, 2);
  auto expected = random_tensor(7, 301, 2);
  jitter(x.view(), 0.1f, stream, tokens_from(40, 7), product.view());
  add_jittered(x.view(), 0.1f, stream, tokens_from(40, 7), sum.view());
  add(product.view(), expected.view());
  EXPECT_EQ(bits_of(sum.flat()), bits_of(expected.flat()));
}

TEST(Jitter, BitsDependOnNeitherThreadsNorOtherRows) {
  expect_same_bits_in_every_team([] { return bits_of(jittered_ones(60, 0.1f).flat()); });
  EXPECT_EQ(bits_of(jittered_ones(5, 0.1f).flat()),
            bits_of(jittered_ones(60, 0.1f).row_range(0, 5).flat()));
}

TEST(Embedding, LooksUpRowsAndAddsGradientsInTokenOrder) {
  const auto table = random_tensor(11, 6, 1), dy = random_tensor(5, 6, 2);
  const std::vector<std::int32_t> ids = {3, 0, -1, 3, 10};
  auto y = Tensor<float>::uninitialized(5, 6);
  embedding_forward(table.view(), ids, y.view());
  auto d_table = random_tensor(11, 6, 3);
  auto expected = random_tensor(11, 6, 3);
  embedding_backward(dy.view(), ids, d_table.view());
  for (std::int64_t i = 0; i < 5; ++i) {
    const std::int32_t id = ids[static_cast<std::size_t>(i)];
    for (std::int64_t j = 0; j < 6; ++j) {
      EXPECT_EQ(y.view()(i, j), id < 0 ? 0.0f : table.view()(id, j));
      if (id >= 0) expected.view()(id, j) += dy.view()(i, j);
    }
  }
  EXPECT_EQ(bits_of(d_table.flat()), bits_of(expected.flat()));
}

TEST(Embedding, GradientBitsDoNotDependOnThreads) {
  const auto dy = random_tensor(500, 40, 1);
  std::vector<std::int32_t> ids(500);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * i % 17);
  expect_same_bits_in_every_team([&] {
    auto d_table = Tensor<float>::zeros(17, 40);
    embedding_backward(dy.view(), ids, d_table.view());
    return bits_of(d_table.flat());
  });
}

}  // namespace
}  // namespace switchyard
