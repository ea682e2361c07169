#include "tensor/vector_math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/normal.hpp"

namespace switchyard {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(FastExp, IsWithinTwoUlpOfExp) {
  double worst = 0;
  const auto check = [&](float x) {
    const double exact = std::exp(static_cast<double>(x));
    const auto rounded = static_cast<float>(exact);
    const double ulp = static_cast<double>(std::nextafter(rounded, infinity)) - rounded;
    worst = std::max(worst, std::abs(fast_exp(x) - exact) / ulp);
  };
  for (float x = -87.3365f; x < 88.3762f; x += 1e-4f) check(x);
  for (float x = 1e-38f; x < 87; x *= 1.001f) check(x), check(-x);
  check(-87.33654f);
  check(88.3762f);
  EXPECT_LT(worst, 2.0);
}

TEST(FastExp, IsDefinedEverywhere) {
  EXPECT_EQ(fast_exp(0.0f), 1.0f);
  EXPECT_EQ(fast_exp(-0.0f), 1.0f);
  EXPECT_EQ(fast_exp(-infinity), 0.0f);
  EXPECT_EQ(fast_exp(-1e30f), 0.0f);
  EXPECT_LT(fast_exp(-87.34f), std::numeric_limits<float>::min());
  EXPECT_EQ(fast_exp(-104.0f), 0.0f);
  EXPECT_EQ(fast_exp(88.723f), infinity);
  EXPECT_EQ(fast_exp(1e30f), infinity);
  EXPECT_EQ(fast_exp(infinity), infinity);
  EXPECT_TRUE(std::isnan(fast_exp(std::numeric_limits<float>::quiet_NaN())));
}

TEST(FastExp, HasTheSameBitsInEveryLane) {
  std::vector<float> x(1003), together(1003);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = -90 + 0.18f * static_cast<float>(i);
#pragma omp simd
  for (std::size_t i = 0; i < x.size(); ++i) together[i] = fast_exp(x[i]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    volatile float alone = x[i];
    EXPECT_EQ(together[i], fast_exp(alone)) << x[i];
  }
}

TEST(FastLog, IsWithinTwoUlpOfLog) {
  for (double x = 1e-300; x < 1e300; x *= 1.0037) {
    const double exact = std::log(x);
    ASSERT_NEAR(fast_log(x), exact, 2 * 0x1p-52 * std::abs(exact)) << x;
  }
  for (double x = 0.5; x < 2; x += 1e-4) {
    ASSERT_NEAR(fast_log(x), std::log(x), 2 * 0x1p-52 * std::abs(std::log(x)) + 1e-300) << x;
  }
  EXPECT_EQ(fast_log(1.0), 0.0);
  EXPECT_EQ(fast_log(std::numeric_limits<double>::infinity()),
            std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(fast_log(std::numeric_limits<double>::quiet_NaN())));
}

TEST(FastPower, IsWithinAFewUlpOfPower) {
  EXPECT_EQ(fast_power(1.0, -0.8), 1.0);
  for (double step = 1; step < 1e9; step *= 1.37) {
    const double exact = std::pow(step, -0.8);
    EXPECT_NEAR(fast_power(step, -0.8), exact, 0x1p-47 * exact) << step;
  }
  for (double x = -700; x < 700; x += 0.37)
    EXPECT_NEAR(fast_exp_f64(x) / std::exp(x), 1.0, 0x1p-51) << x;
}

TEST(IntegerPower, IsAProduct) {
  EXPECT_EQ(integer_power(0.9, 0), 1.0);
  EXPECT_EQ(integer_power(0.9, 1), 0.9);
  EXPECT_EQ(integer_power(3.0, 13), 1594323.0);
  for (const std::int64_t n : {2, 10, 1000, 100000}) {
    const double exact = std::pow(0.999, static_cast<double>(n));
    EXPECT_NEAR(integer_power(0.999, n), exact, 1e-11 * exact) << n;
  }
  EXPECT_EQ(integer_power(0.9, 1000000), 0.0);
}

TEST(FastCosPi, IsTheCosine) {
  EXPECT_EQ(fast_cos_pi(0.0), 1.0);
  EXPECT_EQ(fast_cos_pi(0.5), 0.0);
  EXPECT_EQ(fast_cos_pi(1.0), -1.0);
  const double pi = std::acos(-1.0);
  for (double x = 0; x <= 1; x += 1e-4) EXPECT_NEAR(fast_cos_pi(x), std::cos(pi * x), 0x1p-51) << x;
}

TEST(InverseNormal, IsTheInverseOfTheDistributionFunction) {
  for (double z = -8; z <= 3; z += 0.01) {
    const double p = std::erfc(-z / std::sqrt(2.0)) / 2;
    EXPECT_NEAR(inverse_normal(p), z, 1e-13 / std::min(1.0, std::exp(-z * z / 2) + (z < 0)));
  }
  EXPECT_EQ(inverse_normal(0.5), 0.0);
  EXPECT_EQ(inverse_normal(0.125), -inverse_normal(0.875));
}

}  // namespace
}  // namespace switchyard
