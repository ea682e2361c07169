#include "report/start_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Shares, NameWhatAProcessHosts) {
  const Layout layout(4, 3, 1, 2);
  EXPECT_EQ(share_text(layout, Rank(0)), "virtual rank 0, no experts");
  EXPECT_EQ(share_text(layout, Rank(2)), "virtual ranks 2-3, expert 1");
  EXPECT_EQ(share_text(Layout(4, 1, 1, 0), Rank(0)), "virtual ranks 0-3");
}

TEST(Shares, HaveALineForEachOfAFewProcesses) {
  const std::vector<std::string> hosts = {"n1", "n2"};
  EXPECT_THAT(share_lines(Layout(4, 2, 1, 8), hosts),
              ElementsAre("process 0 on n1: virtual ranks 0-1, experts 0-3",
                          "process 1 on n2: virtual ranks 2-3, experts 4-7"));
  const std::vector<std::string> eight = share_lines(Layout(8, 8, 1, 8));
  EXPECT_EQ(eight.size(), 8u);
  EXPECT_EQ(eight.back(), "process 7: virtual rank 7, expert 7");
}

TEST(Shares, HaveALineForEachSizeBeyondTheFirstFewProcesses) {
  const std::vector<std::string> hosts(most_process_lines, "n1");
  const auto beyond = [&](const Layout& layout) {
    std::vector<std::string> lines = share_lines(layout, hosts);
    lines.erase(lines.begin(), lines.begin() + most_process_lines);
    return lines;
  };
  EXPECT_THAT(beyond(Layout(1024, 1024, 1, 2048)),
              ElementsAre("processes 8-1023: 1 virtual rank and 2 experts each"));
  EXPECT_THAT(beyond(Layout(65536, 65536, 1, 0)),
              ElementsAre("processes 8-65535: 1 virtual rank each"));
  EXPECT_THAT(
      beyond(Layout(64, 16, 32, 4)),
      ElementsAre("processes 8-15: 4 virtual ranks and 4 experts of 2 replica groups each"));
  EXPECT_THAT(beyond(Layout(9, 9, 1, 4)), ElementsAre("process 8: 1 virtual rank and 1 expert"));
}

TEST(Shares, OfSizesThatTakeTurnsAreCounted) {
  const std::vector<std::string> lines = share_lines(Layout(1536, 1024, 1, 512));
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_EQ(lines[8], "508 of processes 8-1022: 1 virtual rank and no experts each");
  EXPECT_EQ(lines[9], "508 of processes 9-1023: 2 virtual ranks and 1 expert each");
}

TEST(RoutingText, NamesTheRoutingOfEachStackThatHasOne) {
  ModelConfig config;
  config.num_layers = config.num_decoder_layers = 2;
  config.moe.num_experts = 4;
  EXPECT_EQ(routing_text(config), "SWITCH");
  config.moe.encoder_routing = RoutingMethod::top2;
  EXPECT_EQ(routing_text(config), "TOP2 (second RANDOM) in the encoder, SWITCH in the decoder");
  config.moe.encoder_routing = RoutingMethod::expert_choice;
  config.moe.decoder_routing = RoutingMethod::topk;
  config.moe.router_topk = 2;
  config.moe.normalize_gates = true;
  EXPECT_EQ(routing_text(config),
            "EXPERT_CHOICE in the encoder, TOPK 2 (normalised) in the decoder");
  config.encoder_sparse_step = 0;
  EXPECT_EQ(routing_text(config), "TOPK 2 (normalised)");
}

TEST(ModelText, SaysWhatAWindowedEncoderSees) {
  ModelConfig config;
  EXPECT_THAT(model_text(config), Not(HasSubstr("see")));
  config.encoder_window = AttentionWindow{1200, 0};
  EXPECT_THAT(model_text(config), EndsWith("; encoder positions see 1,200 to each side"));
  config.encoder_window->globals = 4;
  EXPECT_THAT(model_text(config), EndsWith("see 1,200 to each side and the first 4"));
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
