#include "statistics/median.hpp"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Median, IsTheMiddleValueOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({100, 1, 5, 2}), 3.5);
  EXPECT_EQ(median({}), std::nullopt);
}

}  // namespace
}  // namespace switchyard
