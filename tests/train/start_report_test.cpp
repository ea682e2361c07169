#include "train/start_report.hpp"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Grouped, PutsCommasBetweenThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-100), "-100");
  EXPECT_EQ(grouped(-1000), "-1,000");
}

TEST(ParameterCounts, HaveEachExpertOnce) {
  ModelConfig config;
  config.vocab_size = 128;
  config.d_model = 8;
  config.d_ff = 16;
  config.d_kv = 4;
  config.num_heads = 2;
  config.num_layers = config.num_decoder_layers = 2;
  const std::int64_t dense = count_parameters(config).all;
  EXPECT_EQ(count_parameters(config).experts, 0);
  config.moe.num_experts = 3;
  const ParameterCount sparse = count_parameters(config);
  // A sparse layer of each stack: three experts in place of one layer, and a router.
  EXPECT_EQ(sparse.experts, 2 * 3 * (2 * 8 * 16));
  EXPECT_EQ(sparse.all - dense, 2 * (2 * (2 * 8 * 16) + 8 * 3));
}

TEST(ScheduleText, SaysEveryPartOfTheSchedule) {
  using enum ScheduleConfig::Shape;
  EXPECT_EQ(schedule_text({.learning_rate = 0.6, .warmup_steps = 1000}),
            "0.6 / sqrt(max(step, 1000))");
  EXPECT_EQ(schedule_text({.shape = linear,
                           .learning_rate = 0.01,
                           .linear_warmup_steps = 100,
                           .decay_steps = 2000}),
            "0.01 falling in a straight line to 0 at step 2,000, rising over the first 100 steps");
  EXPECT_EQ(
      schedule_text(
          {.shape = constant, .learning_rate = 0.01, .decay_steps = 2000, .final_ramp_steps = 50}),
      "0.01, falling over the last 50 to 0 at step 2,000");
}

}  // namespace
}  // namespace switchyard
