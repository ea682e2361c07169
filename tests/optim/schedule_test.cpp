#include "optim/schedule.hpp"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Schedule, IsConstantDuringWarmup) {
  const ScheduleConfig t5;
  for (const std::int64_t step : {0, 1, 9999, 10000})
    EXPECT_DOUBLE_EQ(learning_rate(t5, step), 0.01);
}

TEST(Schedule, DecaysWithTheRootOfTheStep) {
  const ScheduleConfig t5;
  EXPECT_LT(learning_rate(t5, 10001), 0.01);
  EXPECT_DOUBLE_EQ(learning_rate(t5, 40000), 0.005);
  EXPECT_DOUBLE_EQ(learning_rate(t5, 1000000), 0.001);
}

TEST(Schedule, MultipliesTheBase) {
  const ScheduleConfig config{.learning_rate = 0.5, .warmup_steps = 100};
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 0.05);
  EXPECT_DOUBLE_EQ(learning_rate(config, 400), 0.025);
}

TEST(Schedule, AllowsNoWarmup) {
  const ScheduleConfig config{.learning_rate = 1, .warmup_steps = 0};
  EXPECT_DOUBLE_EQ(learning_rate(config, 0), 1);
  EXPECT_DOUBLE_EQ(learning_rate(config, 4), 0.5);
}

}  // namespace
}  // namespace switchyard
