#include "plan/capacity.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "plan/small_plan.hpp"

namespace switchyard {
namespace {

// The number of tokens that expert 0 drops, averaged over all experts^tokens routings.
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
  EXPECT_NEAR(expected_overflow(8192, 128, 0), 64, 1e-6);
  EXPECT_NEAR(expected_overflow(100'000, 8, 0), 12'500, 1e-4);
}

// Each token chooses two of three experts, so every pair is possible.
TEST(ExpectedOverflow, CountsATokenAtEachExpertItWants) {
  constexpr int tokens = 7, capacity = 4;
  std::int64_t overflow = 0, ways = 0;
  // 3^7: for each token, the expert that it does not choose.
  for (int way = 0; way < 2187; ++way, ++ways) {
    int wanted = 0;
    for (int t = 0, rest = way; t < tokens; ++t, rest /= 3) wanted += rest % 3 != 0;
    overflow += std::max(0, wanted - capacity);
  }
  EXPECT_NEAR(expected_overflow(tokens, 3, capacity, 2),
              static_cast<double>(overflow) / static_cast<double>(ways), 1e-12);
  EXPECT_EQ(expected_overflow(tokens, 3, capacity, 3), 3);
}

// Computed by the recurrence p(x+1) = p(x) (n-x) / ((x+1) (E-1)) instead of factorials.
TEST(ExpectedOverflow, IsTheSameByRecurrenceInLargeGroups) {
  constexpr int tokens = 8192, experts = 128;
  for (const int capacity : {40, 64, 80, 128}) {
    double probability = std::pow(1 - 1.0 / experts, tokens), overflow = 0;
    for (int x = 0; x <= tokens; ++x) {
      overflow += std::max(0, x - capacity) * probability;
      probability *= static_cast<double>(tokens - x) / ((x + 1.0) * (experts - 1));
    }
    EXPECT_NEAR(expected_overflow(tokens, experts, capacity), overflow, 1e-8 * overflow)
        << capacity;
  }
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
  EXPECT_NEAR(encoder.dropped_share.value(), 4 * expected_overflow(12, 4, 6) / 12, 1e-15);
  EXPECT_EQ(plan_capacity(config, layout, shape, true).capacity, 5);

  config.moe.dropless = true;
  EXPECT_EQ(plan_capacity(config, layout, shape, false).capacity, 24);
  EXPECT_EQ(plan_capacity(config, layout, shape, false).dropped_share, 0);
}

CapacityPlan plan_of(RoutingMethod method, const StepShape& shape, double capacity_factor) {
  ModelConfig config = test::small_config(4);
  config.moe.dropless = false;
  config.moe.capacity_factor = capacity_factor;
  config.moe.min_capacity = 1;
  config.moe.encoder_routing = method;
  config.moe.router_topk = 2;
  return plan_capacity(config, Layout(2, 1, 1, 4), shape, false);
}

TEST(Capacity, OfTwoChoicesCountsBoth) {
  const CapacityPlan plan = plan_of(RoutingMethod::topk, test::full_rows(4, 12, 12), 1.0);
  const double dropped = 4 * expected_overflow(24, 4, 6, 2);
  EXPECT_NEAR(plan.dropped_share.value(), dropped / 48, 1e-15);
  EXPECT_NEAR(plan.rows, 48 - dropped, 1e-12);
  EXPECT_EQ(plan.most_rows(4), 24) << "all places";
  EXPECT_EQ(plan_of(RoutingMethod::topk, test::full_rows(4, 12, 12), 4.0).most_rows(1), 24);
}

TEST(Capacity, OfRoutingsOfWholeRowsIsAllTaken) {
  const StepShape shape{4, 12, 10, 7, 10};  // two rows of seven real tokens per rank
  for (const auto& [method, places] :
       {std::pair(RoutingMethod::expert_choice, 2), {RoutingMethod::soft, 2}}) {
    const CapacityPlan plan = plan_of(method, shape, 1.25);
    EXPECT_EQ(plan.capacity, 2 * places);
    EXPECT_EQ(plan.rows, 4 * 2 * places);
    EXPECT_EQ(plan.most_rows(4), 4 * 2 * places);
    EXPECT_FALSE(plan.dropped_share);
  }
}

TEST(Capacity, SaysNoDropsThatHangOnGates) {
  const StepShape shape = test::full_rows(4, 12, 12);
  for (const RoutingMethod method : {RoutingMethod::top2, RoutingMethod::ntlb})
    EXPECT_FALSE(plan_of(method, shape, 1.0).dropped_share);
  for (const RoutingMethod method : {RoutingMethod::switch_top1, RoutingMethod::hash})
    EXPECT_TRUE(plan_of(method, shape, 1.0).dropped_share);
}

}  // namespace
}  // namespace switchyard
