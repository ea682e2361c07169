#include "benchmark/calibration.hpp"

#include <gtest/gtest.h>

#include <array>

namespace switchyard {
namespace {

using Column = std::vector<double>;

TEST(FitNonnegative, FindsTheCoefficientsOfASum) {
  const std::array<Column, 2> columns = {Column{1, 2, 7}, Column{5, 1, 1}};
  const Column values = {2 * 1 + 3 * 5, 2 * 2 + 3, 2 * 7 + 3};
  const std::vector<double> fit = fit_nonnegative(columns, values);
  EXPECT_NEAR(fit[0], 2, 1e-9);
  EXPECT_NEAR(fit[1], 3, 1e-9);
}

TEST(FitNonnegative, NeverGoesBelowZero) {
  const std::array<Column, 2> columns = {Column{1, 2, 3}, Column{3, 2, 1}};
  const Column values = {1, 2.5, 4};  // the second column would have to be negative
  const std::vector<double> fit = fit_nonnegative(columns, values);
  EXPECT_GT(fit[0], 1);
  EXPECT_EQ(fit[1], 0);
  const std::array<Column, 1> one = {Column{2, 4}};
  EXPECT_NEAR(fit_nonnegative(one, Column{4, 8})[0], 2, 1e-12);
  EXPECT_EQ(fit_nonnegative(one, Column{0, 0})[0], 0);
}

}  // namespace
}  // namespace switchyard
