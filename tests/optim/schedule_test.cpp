#include "optim/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>

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

using enum ScheduleConfig::Shape;

TEST(Schedule, IsConstantWhereNothingElseIsAskedFor) {
  const ScheduleConfig config{.shape = constant, .learning_rate = 0.3};
  for (const std::int64_t step : {0, 1, 10000, 1000000})
    EXPECT_EQ(learning_rate(config, step), 0.3);
}

TEST(Schedule, FallsInAStraightLineFromTheWarmupsEndToDecaySteps) {
  const ScheduleConfig config{
      .shape = linear, .learning_rate = 0.8, .linear_warmup_steps = 100, .decay_steps = 500};
  EXPECT_DOUBLE_EQ(learning_rate(config, 100), 0.8);
  EXPECT_DOUBLE_EQ(learning_rate(config, 200), 0.6);
  EXPECT_DOUBLE_EQ(learning_rate(config, 300), 0.4);
  EXPECT_DOUBLE_EQ(learning_rate(config, 499), 0.002);
  EXPECT_EQ(learning_rate(config, 500), 0);
  EXPECT_EQ(learning_rate(config, 501), 0);
}

TEST(Schedule, FallsAlongHalfACosine) {
  const ScheduleConfig config{
      .shape = cosine, .learning_rate = 0.8, .linear_warmup_steps = 100, .decay_steps = 500};
  EXPECT_DOUBLE_EQ(learning_rate(config, 100), 0.8);
  EXPECT_DOUBLE_EQ(learning_rate(config, 200), 0.8 * (0.5 + std::sqrt(0.125)));
  EXPECT_DOUBLE_EQ(learning_rate(config, 300), 0.4);
  EXPECT_EQ(learning_rate(config, 500), 0);
  EXPECT_EQ(learning_rate(config, 10000), 0);
}

TEST(Schedule, RisesInAStraightLineUnderEveryShape) {
  for (const auto shape : {rsqrt, constant, linear, cosine}) {
    const ScheduleConfig config{.shape = shape,
                                .learning_rate = 0.8,
                                .warmup_steps = 1,
                                .linear_warmup_steps = 4,
                                .decay_steps = 1000};
    ScheduleConfig without = config;
    without.linear_warmup_steps = 0;
    const auto full = [&](std::int64_t step) {
      return shape == rsqrt ? learning_rate(without, step) : 0.8;
    };
    for (const std::int64_t step : {0, 1, 2, 3}) {
      EXPECT_DOUBLE_EQ(learning_rate(config, step), full(step) * static_cast<double>(step + 1) / 4);
    }
    EXPECT_DOUBLE_EQ(learning_rate(config, 4), full(4));
  }
}

TEST(Schedule, EndsInAFinalRamp) {
  for (const auto shape : {rsqrt, constant}) {
    const ScheduleConfig config{.shape = shape,
                                .learning_rate = 1,
                                .warmup_steps = 16,
                                .decay_steps = 400,
                                .final_ramp_steps = 300};
    ScheduleConfig without = config;
    without.final_ramp_steps = 0;
    const auto part = [&](std::int64_t step) {
      return learning_rate(config, step) / learning_rate(without, step);
    };
    EXPECT_EQ(part(0), 1);
    EXPECT_EQ(part(100), 1);
    EXPECT_DOUBLE_EQ(part(250), 0.5);
    EXPECT_DOUBLE_EQ(part(399), 1 / 300.0);
    EXPECT_EQ(part(400), 0);
    EXPECT_EQ(part(1000), 0);
  }
}

}  // namespace
}  // namespace switchyard
