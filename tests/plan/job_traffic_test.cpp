#include "plan/job_traffic.hpp"

#include <gtest/gtest.h>

#include "plan/small_plan.hpp"
#include "plan/traffic.hpp"

namespace switchyard {
namespace {

using test::full_rows;
using test::small_config;

TEST(HostLayout, GivesConsecutiveProcessesToEachHost) {
  const HostLayout placement{7, 3};
  std::int64_t next = 0;
  for (std::int64_t host = 0; host < 3; ++host) {
    const Interval<Rank> here = placement.processes_of(host);
    EXPECT_EQ(here.first.value, next);
    EXPECT_GE(here.size(), 2);
    EXPECT_LE(here.size(), placement.most_on_a_host());
    for (const Rank p : here) EXPECT_EQ(placement.host_of(p), host);
    next = here.last.value;
  }
  EXPECT_EQ(next, 7);
}

// Rows that process p sends to q in one exchange to the experts, or back: a plain reference.
double rows(const Layout& layout, double kept, Rank p, Rank q, bool back) {
  if (p == q || !layout.peers(p).contains(q)) return 0;
  if (back) std::swap(p, q);
  return kept / layout.experts() * static_cast<double>(layout.hosted(p).size()) *
         static_cast<double>(layout.owned_experts(q).size());
}

// One message for each row of processes that travels, directly.
TEST(JobTraffic, OfRowsIsWhatEachProcessHasForEachOther) {
  const ModelConfig config = small_config(5);
  const StepShape shape = full_rows(12, 10, 6);
  for (const auto& [R, G, hosts] : {std::tuple{3, 1, 2}, {4, 2, 2}, {6, 2, 3}, {12, 1, 4}}) {
    const Layout layout(12, R, G, 5);
    const HostLayout placement{R, hosts};
    for (Rank p(0); p.value < R; ++p) {
      Sent expected;
      for (const bool decoder : {false, true}) {
        const double kept = shape.rows_of_rank(layout) * shape.length(decoder);
        const int layers = config.sparse_layers(decoder);
        for (Rank q(0); q.value < R; ++q) {
          for (const bool back : {false, true}) {
            const double sent = rows(layout, kept, p, q, back);
            const bool far = placement.host_of(p) != placement.host_of(q);
            const double bytes = 2 * layers * sent * 24 * 4;
            expected.add({2.0 * layers * (sent > 0), bytes, far ? 2.0 * layers * (sent > 0) : 0.0,
                          far ? bytes : 0});
          }
        }
      }
      const Sent planned = plan_step_traffic({config, layout, shape, placement, false}, p).rows;
      EXPECT_DOUBLE_EQ(planned.messages, expected.messages);
      EXPECT_DOUBLE_EQ(planned.far_messages, expected.far_messages);
      EXPECT_NEAR(planned.bytes, expected.bytes, 1e-6);
      EXPECT_NEAR(planned.far_bytes, expected.far_bytes, 1e-6);
    }
  }
}

// Two layers, five calls each: the announcement and four transfers, to three others.
TEST(JobTraffic, IsFiveCallsToEachOtherInEachSparseLayer) {
  ModelConfig config = small_config(4);
  const Layout layout(4, 4, 1, 4);
  const auto messages = [&](int micro_steps) {
    StepShape shape = full_rows(8, 10, 6);
    shape.micro_steps = micro_steps;
    return plan_exchange_traffic({config, layout, shape, {4, 1}, false}, Rank(0))
        .exchange()
        .messages;
  };
  EXPECT_EQ(messages(1), 2 * 5 * 3);
  EXPECT_EQ(messages(2), 2 * 2 * 5 * 3);
  config.moe.expert_dropout_rate = 0.1f;
  EXPECT_EQ(messages(1), 2 * 6 * 3);
  config.recompute = Recompute::block;
  EXPECT_EQ(messages(1), 2 * 8 * 3);
}

// Relays carry every byte for another host once between the hosts, and one message for each pair.
TEST(JobTraffic, ByTwoLevelsSendsTheSameBytesBetweenHostsInFewerMessages) {
  const ModelConfig config = small_config(16);
  const Layout layout(16, 16, 1, 16);
  const StepShape shape = full_rows(16, 10, 6);
  for (const int hosts : {2, 4, 8}) {
    Sent direct, relayed;
    for (Rank p(0); p.value < 16; ++p) {
      direct.add(plan_step_traffic({config, layout, shape, {16, hosts}, false}, p).rows);
      relayed.add(plan_step_traffic({config, layout, shape, {16, hosts}, true}, p).rows);
    }
    EXPECT_NEAR(relayed.far_bytes, direct.far_bytes, 1e-6);
    EXPECT_EQ(direct.far_messages, 2 * 4 * 16 * (16 - 16 / hosts));
    EXPECT_EQ(relayed.far_messages, 2 * 4 * hosts * (hosts - 1));
    EXPECT_LT(relayed.messages, direct.messages);
  }
}

TEST(JobTraffic, TogetherIsWhatTheExchangePlanSays) {
  const ModelConfig config = small_config(5);
  const StepShape shape = full_rows(12, 10, 6);
  const Layout layout(12, 6, 1, 5);
  double bytes = 0, planned = 0;
  for (Rank p(0); p.value < 6; ++p)
    bytes += plan_step_traffic({config, layout, shape, {6, 1}, false}, p).rows.bytes;
  for (const bool decoder : {false, true})
    planned += static_cast<double>(config.sparse_layers(decoder) *
                                   plan_exchange(config, layout, shape, decoder).bytes_of_step());
  EXPECT_NEAR(bytes, planned, 1);
}

// With two groups on two hosts no row leaves its host, and gradients of experts do.
TEST(JobTraffic, OfAGroupOnEachHostIsGradientsAlone) {
  const ModelConfig config = small_config(4);
  const StepShape shape = full_rows(8, 10, 6);
  const JobTraffic one = plan_job_traffic({config, Layout(4, 4, 1, 4), shape, {4, 2}, false});
  const JobTraffic two = plan_job_traffic({config, Layout(4, 4, 2, 4), shape, {4, 2}, false});
  EXPECT_GT(one.host.rows.far_bytes, 0);
  EXPECT_EQ(two.host.rows.far_bytes, 0);
  EXPECT_EQ(one.host.expert_gradients.far_bytes, 0);
  EXPECT_GT(two.host.expert_gradients.far_bytes, 0);
  EXPECT_EQ(
      plan_job_traffic({config, Layout(4, 4, 1, 4), shape, {4, 1}, false}).host.all().far_bytes, 0);
}

TEST(JobTraffic, OfManyProcessesIsThatOfEachWhereAllAreAlike) {
  const ModelConfig config = small_config(128);
  const Layout layout(128, 128, 1, 128);
  const TrafficInput input{config, layout, full_rows(128, 16, 16), {128, 8}, false};
  const JobTraffic job = plan_job_traffic(input);
  for (const std::int64_t p : {0, 1, 77, 127}) {
    const Sent own = plan_step_traffic(input, Rank{p}).all();
    EXPECT_NEAR(own.bytes, job.process.all().bytes, 0.01 * own.bytes);
    EXPECT_NEAR(16 * own.far_bytes, job.host.all().far_bytes, 0.01 * job.host.all().far_bytes);
  }
}

}  // namespace
}  // namespace switchyard
