#include "plan/traffic.hpp"

#include <gtest/gtest.h>

#include "comm/sum_schedule.hpp"
#include "plan/parameters.hpp"
#include "plan/small_plan.hpp"

namespace switchyard {
namespace {

using test::full_rows;
using test::small_config;

TEST(ExchangeTraffic, IsWhatTheOtherProcessesExpertsAreAskedFor) {
  const ModelConfig config = small_config(4);
  const StepShape shape = full_rows(8, 10, 6);
  EXPECT_EQ(plan_exchange(config, Layout(4, 1, 1, 4), shape, false).rows, 0);
  // Of 80 positions, half go to the other process. Of three processes, 0 and 1 own one expert of
  // four and host one virtual rank of four; 2 owns two and hosts two.
  EXPECT_DOUBLE_EQ(plan_exchange(config, Layout(4, 2, 1, 4), shape, false).rows, 40);
  const ExchangeTraffic three = plan_exchange(config, Layout(4, 3, 1, 4), shape, false);
  EXPECT_DOUBLE_EQ(three.rows, 20 * 0.75 + 20 * 0.75 + 40 * 0.5);
  EXPECT_DOUBLE_EQ(three.busiest_rows, 20);
  EXPECT_EQ(three.row_bytes, 24 * 4);
  EXPECT_EQ(three.bytes_of_step(), 4 * 50 * 24 * 4);
  // With a replica of every expert on each process nothing is sent.
  EXPECT_EQ(plan_exchange(config, Layout(4, 2, 2, 4), shape, false).rows, 0);
}

TEST(ExchangeTraffic, IsHalfInBfloat16AndSixTransfersWhereBlocksAreComputedAgain) {
  ModelConfig config = small_config(4);
  const auto bytes = [&] {
    return plan_exchange(config, Layout(4, 2, 1, 4), full_rows(8, 10, 6), false).bytes_of_step();
  };
  const std::int64_t in_f32 = bytes();
  config.precision = Precision::bfloat16;
  EXPECT_EQ(2 * bytes(), in_f32);
  config.recompute = Recompute::attention;
  EXPECT_EQ(2 * bytes(), in_f32);
  config.recompute = Recompute::block;
  EXPECT_EQ(4 * bytes(), 3 * in_f32);
}

TEST(ExchangeTraffic, LeavesOutWhatCapacityDrops) {
  ModelConfig config = small_config(4);
  config.moe.dropless = false;
  config.moe.capacity_factor = 0.01;
  config.moe.min_capacity = 0;
  EXPECT_NEAR(plan_exchange(config, Layout(4, 2, 1, 4), full_rows(8, 10, 6), false).rows, 0, 1e-9);
}

TEST(ReductionTraffic, IsTwiceTheGradientsButForTheOwnPiece) {
  const ModelConfig config = small_config(4);
  const std::int64_t dense = count_parameters(config).dense();
  std::int64_t sent = 0;
  for (Rank p(0); p.value < 4; ++p) {
    const ReductionTraffic traffic = plan_reduction(config, Layout(8, 4, 1, 4), p);
    sent += traffic.dense_bytes;
    EXPECT_EQ(traffic.expert_bytes, 0) << "one copy of each expert needs no sum";
    EXPECT_EQ(traffic.messages, 4) << "two halvings, and back";
  }
  EXPECT_EQ(sent, 2 * 3 * dense * 4);
  EXPECT_EQ(plan_reduction(config, Layout(8, 1, 1, 4), Rank(0)).dense_bytes, 0);
}

// What the program really sends is counted where the sums are (comm/sum_schedule).
TEST(ReductionTraffic, IsThatOfTheSchedule) {
  const ModelConfig config = small_config(4);
  const std::int64_t dense = count_parameters(config).dense();
  for (const int processes : {2, 3, 5})
    for (Rank p(0); p.value < processes; ++p) {
      const ReductionTraffic traffic = plan_reduction(config, Layout(5, processes, 1, 4), p);
      const SumTraffic expected = traffic_of(schedule_sum({5, processes}, p, 4 * dense), dense);
      EXPECT_EQ(traffic.dense_bytes, 4 * expected.elements);
      EXPECT_EQ(traffic.messages, expected.messages);
    }
}

TEST(ReductionTraffic, SumsTheCopiesOfAnExpertAmongTheirHolders) {
  const ModelConfig config = small_config(4);
  const std::int64_t experts = count_parameters(config).experts;
  // Two groups of two processes: each process has half of the experts and one partner.
  const ReductionTraffic traffic = plan_reduction(config, Layout(4, 4, 2, 4), Rank(3));
  const SumTraffic expected =
      traffic_of(schedule_sum({2, 2}, Rank(1), 4 * experts / 2), experts / 2);
  EXPECT_EQ(traffic.expert_bytes, 4 * expected.elements);
}

}  // namespace
}  // namespace switchyard
