// A sweep's result with the widest vectors equals that with the build's own instruction set, bit
// for bit. (On a CPU without AVX-512 both are the same code.)
#include "tensor/wide.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/bfloat16.hpp"
#include "support/random_tensor.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {
namespace {

// Lengths with every remainder modulo sixteen lanes.
constexpr std::int64_t shortest = 100, rows = 40, longest = shortest + rows;

// Calls f(i, x, y) for each row: x [longest] is input, y [longest] is to be written.
template <class Y, class F>
void expect_the_same_bits(F f) {
  const Tensor<float> x = random_tensor(rows, longest, 7);
  auto plain = Tensor<Y>::zeros(rows, longest), wide = Tensor<Y>::zeros(rows, longest);
  for (std::int64_t i = 0; i < rows; ++i) f(i, x.view().row(i), plain.view().row(i));
  for_each_row(rows, x.size(), [&](std::int64_t i) { f(i, x.view().row(i), wide.view().row(i)); });
  EXPECT_EQ(std::memcmp(plain.data(), wide.data(), sizeof(Y) * static_cast<std::size_t>(x.size())),
            0);
}

TEST(Wide, SumsHaveTheBitsOfThePlainBuild) {
  expect_the_same_bits<float>([](std::int64_t i, const float* x, float* y) {
    y[0] = lane_sum(shortest + i, [=](std::int64_t j) { return x[j] * x[j]; });
  });
  expect_the_same_bits<double>([](std::int64_t i, const float* x, double* y) {
    y[0] = lane_sum<double>(shortest + i, [=](std::int64_t j) {
      const double square = static_cast<double>(x[j]) * static_cast<double>(x[j]);
      y[j + 1] += square;
      return square;
    });
  });
}

TEST(Wide, ExponentialsAndQuotientsHaveTheBitsOfThePlainBuild) {
  expect_the_same_bits<float>([](std::int64_t i, const float* x, float* y) {
#pragma omp simd
    for (std::int64_t j = 0; j < shortest + i; ++j)
      y[j] = fast_exp(3 * x[j] - 1) / std::sqrt(x[j] * x[j] + 1e-6f) + x[j] * 0.1f;
  });
}

TEST(Wide, RoundingHasTheBitsOfThePlainBuild) {
  expect_the_same_bits<bfloat16>([](std::int64_t i, const float* x, bfloat16* y) {
#pragma omp simd
    for (std::int64_t j = 0; j < shortest + i; ++j) y[j] = from_float<bfloat16>(x[j]);
  });
}

}  // namespace
}  // namespace switchyard
