#include "plan/step_time.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "plan/operations.hpp"
#include "plan/parameters.hpp"
#include "plan/routing_skew.hpp"
#include "plan/scaling.hpp"
#include "plan/small_plan.hpp"

namespace switchyard {
namespace {

using test::full_rows;
using test::small_config;

// A machine with round numbers: 1 GFLOP/s whatever the shape, 1 ns an element.
Machine round_machine() {
  const ProductTable table{{1}, {1}, {1}, {1e9}};
  Machine machine{.float32 = table, .bfloat16 = table, .memory_rate = 1e9};
  machine.sweeps = {1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 0};
  machine.inside_host = LinkTimes{1e-6, 1e9};
  machine.between_hosts = LinkTimes{1e-5, 1e8};
  machine.overlap_gain = 0;
  return machine;
}

PlannedRun run_on(int processes, int hosts, int virtual_ranks = 8, int experts = 8) {
  return {.config = small_config(experts),
          .layout = Layout(virtual_ranks, processes, 1, experts),
          .shape = full_rows(16, 10, 6),
          .placement = {processes, hosts}};
}

double operations(const std::vector<Products>& products) {
  double sum = 0;
  for (const Products& p : products) sum += p.operations();
  return sum;
}

TEST(StepWork, IsTheOperationsThatTheModelCounts) {
  for (const int experts : {0, 4}) {
    for (const Recompute recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
      ModelConfig config = small_config(experts);
      config.recompute = recompute;
      config.tie_word_embeddings = false;
      const Layout layout(4, 1, 1, experts);
      const StepShape shape = full_rows(8, 11, 7);
      const StepWork work = plan_step_work(config, layout, shape);
      const Operations counted = count_operations(config, layout, shape);
      EXPECT_NEAR(operations(work.attention) + operations(work.feed_forward) +
                      operations(work.experts) + operations(work.logits) + operations(work.routing),
                  static_cast<double>(counted.total() + counted.routers + counted.recomputed), 1)
          << experts << " experts, recompute " << static_cast<int>(recompute);
      EXPECT_EQ(work.parameters, static_cast<double>(count_parameters(config).total()));
    }
  }
}

// The part of a process never grows with the number of processes.
TEST(StepWork, IsNeverMoreOnMoreProcesses) {
  const ModelConfig config = small_config(8);
  double before = INFINITY;
  for (const int processes : {1, 2, 4, 8}) {
    const StepWork work = plan_step_work(config, Layout(8, processes, 1, 8), full_rows(16, 10, 6));
    const double all = operations(work.attention) + operations(work.feed_forward) +
                       operations(work.experts) + operations(work.logits);
    EXPECT_LT(all, before);
    before = all;
  }
}

TEST(ProductTable, InterpolatesInTheLogarithms) {
  const ProductTable table{{16, 64}, {32}, {32}, {1e9, 4e9}};
  EXPECT_NEAR(table.rate(16, 32, 32), 1e9, 1);
  EXPECT_NEAR(table.rate(64, 32, 32), 4e9, 1);
  EXPECT_NEAR(table.rate(32, 32, 32), 2e9, 1);
  EXPECT_NEAR(table.rate(1000, 32, 32), 4e9, 1) << "beyond the largest, its rate";
  EXPECT_NEAR(table.rate(8, 32, 32), 0.5e9, 1) << "below the smallest, less";
  EXPECT_NEAR(table.rate(64, 32, 1e9), 4e9, 1);
}

// By hand: a dense model on one process, 1 GFLOP/s and 1 ns an element.
TEST(StepTime, OfOneProcessIsItsOperationsAndElements) {
  const PlannedRun run = run_on(1, 1, 1, 0);
  const StepTime time = plan_step_time(run, round_machine());
  const StepShape& shape = run.shape;
  const double N = 160, T = 96, D = 24, F = 40, W = 96;  // positions of the two stacks
  EXPECT_NEAR(time.feed_forward, (6 * 2 * D * F + D + F) * (3 * N + 2 * T) * 1e-9, 1e-12);
  EXPECT_NEAR(time.logits, (6 * D * W + W) * T * 1e-9, 1e-12);
  EXPECT_NEAR(time.embedding, (N + T) * D * 1e-9, 1e-12);
  const double kernels = 6 * D * 18 * (3 * 4 * N + 2 * 4 * T + 2 * 2 * (N + T));
  const double pairs = 16.0 * 3 * (3 * 100 + 2 * 36 + 2 * 60);
  EXPECT_NEAR(time.attention, (kernels + 12 * 6 * pairs + pairs + D * (3 * N + 4 * T)) * 1e-9,
              1e-12);
  EXPECT_EQ(time.exchange, 0);
  EXPECT_EQ(time.experts, 0);
  const double parameters = static_cast<double>(count_parameters(run.config).total());
  EXPECT_NEAR(time.optimizer, parameters * 1e-9, 1e-12);
  EXPECT_NEAR(time.reduction, 4 * parameters * 1e-9, 1e-12) << "the norm reads all gradients";
  EXPECT_EQ(shape.micro_steps, 1);
}

TEST(StepTime, OfMessagesIsLatencyAndBytesOfTheHostsLink) {
  const PlannedRun run = run_on(4, 2);
  const Machine machine = round_machine();
  const JobTraffic traffic = plan_job_traffic(run.traffic_input());
  const Sent process = traffic.process.exchange(), host = traffic.host.exchange();
  EXPECT_NEAR(plan_step_time(run, machine).exchange,
              (process.messages - process.far_messages) * 1e-6 +
                  (process.bytes - process.far_bytes) * 1e-9 + process.far_messages * 1e-5 +
                  host.far_bytes * 1e-8,
              1e-12);
}

TEST(StepTime, IsNeverLessWithMoreToSendOrASlowerLink) {
  const auto total = [](const PlannedRun& run, const Machine& machine) {
    return plan_step_time(run, machine).total();
  };
  Machine slow = round_machine();
  slow.between_hosts->rate /= 10;
  const PlannedRun run = run_on(4, 2);
  EXPECT_GT(total(run, slow), total(run, round_machine()));
  PlannedRun wide = run;
  wide.config.d_model *= 2;
  EXPECT_GT(total(wide, round_machine()), total(run, round_machine()));
  PlannedRun again = run;
  again.config.recompute = Recompute::block;
  EXPECT_GT(total(again, round_machine()), total(run, round_machine()));
  PlannedRun skewed = run;
  skewed.imbalance = 2;
  EXPECT_GT(total(skewed, round_machine()), total(run, round_machine()));
}

TEST(StepTime, OverlapsAtMostWhatIsThereToOverlap) {
  PlannedRun run = run_on(4, 2);
  Machine machine = round_machine();
  machine.overlap_gain = 1;
  const StepTime with = plan_step_time(run, machine);
  run.overlap_reduction = false;
  const StepTime without = plan_step_time(run, machine);
  EXPECT_EQ(without.overlapped, 0);
  EXPECT_GT(with.overlapped, 0);
  EXPECT_NEAR(with.reduction + with.overlapped, without.reduction, 1e-12);
  EXPECT_LE(with.overlapped, with.attention + with.feed_forward + with.experts);
}

TEST(StepTime, SaysWhatTheConstantsLack) {
  Machine machine = round_machine();
  machine.between_hosts.reset();
  EXPECT_FALSE(missing_constants(run_on(4, 1), machine));
  EXPECT_TRUE(missing_constants(run_on(4, 2), machine));
  machine.inside_host.reset();
  EXPECT_FALSE(missing_constants(run_on(1, 1), machine));
  EXPECT_TRUE(missing_constants(run_on(4, 1), machine));
}

TEST(BusiestOwner, IsBetweenAFairShareAndTheImbalance) {
  EXPECT_EQ(busiest_owner(8, 4, 1, 10), 1);
  for (const double imbalance : {1.2, 2.0, 5.0}) {
    double before = 1;
    for (const std::int64_t owners : {1, 2, 8, 32, 128}) {
      const double busiest = busiest_owner(128, owners, imbalance, 10);
      EXPECT_GE(busiest, 1);
      EXPECT_GE(busiest, before - 0.05) << "fewer experts a process even out less";
      EXPECT_LE(busiest, imbalance * 1.01);
      before = busiest;
    }
    EXPECT_LE(busiest_owner(128, 128, imbalance, 1.25), 1.25) << "capacity bounds it";
  }
}

TEST(Scaling, IsStrongUpToVAndWeakBeyond) {
  const std::vector<ScalingRow> rows = plan_scaling(run_on(4, 2), round_machine(), 64);
  ASSERT_EQ(rows.size(), 7u);  // 1, 2, 4, 8 and 16, 32, 64
  for (const ScalingRow& row : rows) {
    EXPECT_EQ(row.weak, row.processes > 8);
    EXPECT_EQ(row.virtual_ranks, std::max<std::int64_t>(8, row.processes));
    EXPECT_EQ(row.rows, 2 * row.virtual_ranks);
    EXPECT_EQ(row.hosts, (row.processes + 1) / 2);
    EXPECT_TRUE(row.time.has_value());
  }
  EXPECT_FALSE(plan_scaling(run_on(4, 2), std::nullopt, 8)[0].time.has_value());
}

TEST(Replicas, AreComparedByWhatTheyCost) {
  const std::vector<ReplicaRow> rows = plan_replicas(run_on(4, 2), round_machine());
  ASSERT_EQ(rows.size(), 3u);  // 1, 2, 4
  const ReplicaRow& best = best_replicas(rows);
  for (const ReplicaRow& row : rows) {
    EXPECT_EQ(row.expert_parameters, count_parameters(small_config(8)).experts * row.groups / 4);
    EXPECT_LE(best.time->total(), row.time->total());
  }
  const std::vector<ReplicaRow> sent = plan_replicas(run_on(4, 2), std::nullopt);
  for (const ReplicaRow& row : sent) EXPECT_LE(best_replicas(sent).host_bytes, row.host_bytes);
}

}  // namespace
}  // namespace switchyard
