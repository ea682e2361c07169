#include "plan/capacity.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/small_plan.hpp"

namespace switchyard {
namespace {

// The mean over all experts^tokens ways to route, of what expert 0 turns away.
double overflow_by_enumeration(int tokens, int experts, int capacity) {
  std::int64_t ways = 1, overflow = 0;
  for (int t = 0; t < tokens; ++t) ways *= experts;
  for (std::int64_t way = 0; way < ways; ++way) {
    int wanted = 0;
    std::int64_t rest = way;
    for (int t = 0; t < tokens; ++t, rest /= experts) wanted += rest % experts == 0;
    overflow += std::max(0, wanted - capacity);
  }
  return static_cast<double>(overflow) / static_cast<double>(ways);
}

TEST(ExpectedOverflow, IsTheMeanOverAllWaysToRoute) {
  for (const int experts : {1, 2, 3, 4}) {
    for (const int capacity : {0, 1, 2, 3, 7}) {
      EXPECT_NEAR(expected_overflow(7, experts, capacity),
                  overflow_by_enumeration(7, experts, capacity), 1e-12)
          << experts << " " << capacity;
    }
  }
}

TEST(ExpectedOverflow, IsEveryTokenWithoutPlaces) {
  EXPECT_NEAR(expected_overflow(8192, 128, 0), 64, 1e-9);
  EXPECT_NEAR(expected_overflow(100'000, 8, 0), 12'500, 1e-6);
}

// 8,192 tokens on 128 experts with 80 places: normal with standard deviation 7.94, 2.08 of them
// above the mean, leaves 0.0054 x 7.94 to turn away; the skew makes it a little more.
TEST(ExpectedOverflow, IsNearTheNormalTail) {
  EXPECT_NEAR(expected_overflow(8192, 128, 80), 0.055, 0.01);
}

TEST(Capacity, CountsPaddingInPlacesAndDropsRealTokensOnly) {
  ModelConfig config = test::small_config(4);
  config.moe.dropless = false;
  config.moe.capacity_factor = 1.0;
  config.moe.min_capacity = 1;
  const Layout layout(2, 1, 1, 4);
  const StepShape shape{4, 12, 10, 6, 10};
  const CapacityPlan encoder = plan_capacity(config, layout, shape, false);
  EXPECT_EQ(encoder.positions, 24);
  EXPECT_EQ(encoder.tokens, 12);
  EXPECT_EQ(encoder.capacity, 6);
  EXPECT_NEAR(encoder.dropped_share, 4 * expected_overflow(12, 4, 6) / 12, 1e-15);
  EXPECT_EQ(plan_capacity(config, layout, shape, true).capacity, 5);

  config.moe.dropless = true;
  EXPECT_EQ(plan_capacity(config, layout, shape, false).capacity, 24);
  EXPECT_EQ(plan_capacity(config, layout, shape, false).dropped_share, 0);
}

}  // namespace
}  // namespace switchyard
