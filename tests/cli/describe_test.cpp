// `switchyard describe` on the shipped configurations: compares with published figures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <string>

#include "cli/memory.hpp"
#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

Outcome describe(const std::string& arguments) { return run_program("describe " + arguments); }

// The number in the line that begins with `name`, without commas.
std::int64_t figure(const std::string& output, const std::string& name) {
  std::smatch match;
  if (!std::regex_search(output, match, std::regex("\n  " + name + " +([0-9,]+)"))) return -1;
  std::string digits = match[1];
  std::erase(digits, ',');
  return std::stoll(digits);
}

// Fedus et al. 2021 give 0.2 B, 1.1 B, 2.0 B, 3.8 B, 7.4 B, 14.7 B and 26 B.
TEST(Describe, CountsThePublishedModelsAsShipped) {
  const std::map<std::string, std::int64_t> parameters = {
      {"t5_base", 222'903'552},   {"base_2", 279'545'088},     {"base_4", 392'809'728},
      {"base_8", 619'339'008},    {"base_16", 1'072'397'568},  {"base_32", 1'978'514'688},
      {"base_64", 3'790'748'928}, {"base_128", 7'415'217'408}, {"base_256", 14'664'154'368},
      {"large", 26'309'291'008}};
  for (const auto& [config, expected] : parameters) {
    const Outcome outcome = describe("--config " + config);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_EQ(figure(outcome.output, "total"), expected) << config;
  }
}

TEST(Describe, NamesTheLibrariesThatWouldCompute) {
  EXPECT_THAT(
      describe("--config tiny").output,
      ContainsRegex("libraries   oneDNN [23]\\.[0-9.]+ for [A-Z0-9_]+, (Open MPI|MPICH|Intel)"));
}

TEST(Describe, OfTheLargestModelsIsWithinThePapersRounding) {
  const auto billions = [](const std::string& config) {
    return static_cast<double>(figure(describe("--config " + config).output, "total")) / 1e9;
  };
  EXPECT_NEAR(billions("xxl"), 395, 0.5);
  EXPECT_NEAR(billions("c"), 1571, 1.5);
  EXPECT_NEAR(billions("t5_large"), 0.74, 0.01);
  EXPECT_NEAR(billions("t5_xxl"), 11, 0.5);
}

TEST(Describe, SaysWhoHostsWhatOnSoManyProcesses) {
  const Outcome outcome = describe("--config tiny --processes 3");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("4 virtual ranks on 3 processes"),
                                    HasSubstr("process 0: virtual rank 0, experts 0-1\n"),
                                    HasSubstr("process 2: virtual ranks 2-3, experts 5-7\n"),
                                    HasSubstr("encoder exchange"), HasSubstr("dense gradients")));
}

TEST(Describe, SaysTheRoutingOfEachStackAndWhatItCanTake) {
  EXPECT_THAT(describe("--config tiny").output,
              AllOf(HasSubstr("routing     SWITCH\n"), HasSubstr("places, 0.")));
  const Outcome rows = describe("--config tiny --set moe.routing=SOFT moe.decoder_routing=NTLB");
  EXPECT_EQ(rows.exit_code, 0) << rows.output;
  EXPECT_THAT(rows.output,
              AllOf(HasSubstr("routing     SOFT in the encoder, NTLB (4 choices) in the decoder\n"),
                    HasSubstr("\n  mixing "), HasSubstr("places, all of them taken"),
                    HasSubstr("depends on the gates")));
  EXPECT_THAT(describe("--config tiny --set moe.routing=TOPK moe.router_topk=3").output,
              AllOf(HasSubstr("routing     TOPK 3\n"), HasSubstr("% of choices dropped")));
  EXPECT_EQ(describe("--config tiny --set moe.routing=SOFT").exit_code, 64);
}

TEST(Describe, OfADenseModelNamesNoExperts) {
  const Outcome outcome = describe("--config tiny_dense --processes 2");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("memory of each process"), Not(HasSubstr("expert")),
                                    Not(HasSubstr("router")), Not(HasSubstr("capacity"))));
}

TEST(Describe, SaysWhereTheVocabularyIsFrom) {
  EXPECT_THAT(describe("--config tiny").output, HasSubstr("32,128 rows (assumed"));
  EXPECT_THAT(describe("--config tiny --set model.vocab_size=640").output,
              HasSubstr("640 rows (model.vocab_size)"));
}

TEST(Describe, RefusesWhatTrainWouldRefuse) {
  const Outcome batch = describe("--config tiny --set train.batch_size=3");
  EXPECT_EQ(batch.exit_code, 64);
  EXPECT_THAT(batch.output, HasSubstr("train.batch_size (3)"));
  EXPECT_EQ(describe("--config tiny --processes 5").exit_code, 64);
  EXPECT_EQ(describe("--config tiny --processes 0").exit_code, 64);
  EXPECT_EQ(describe("--config tiny --set data.train=nowhere").exit_code, 66);
  EXPECT_EQ(run_program("describe --config tiny", 2).exit_code, 64);
}

// With prepared data: the vocabulary is that of the data, and what does not fit in memory is
// refused before it starts.
TEST(Describe, KnowsWhatTrainFindsTooLargeForThisMachine) {
  const TemporaryDirectory directory;
  const std::string text = directory.path() + "/text.txt", data = directory.path() + "/data",
                    run = directory.path() + "/run";
  write_text(text, synthetic_text(1000, 40));
  const Outcome prepared =
      run_program("prepare --lines --vocab-size 1500 --input " + text + " --output " + data);
  ASSERT_EQ(prepared.exit_code, 0) << prepared.output;

  const std::string options = "--config tiny --set data.train=" + data;
  EXPECT_THAT(describe(options).output, HasSubstr("1,664 rows (the data's, " + data));

  const std::string huge = options + " --set model.d_ff=1048576 model.d_model=65536";
  EXPECT_THAT(describe(huge).output,
              AllOf(HasSubstr(" TB"), ContainsRegex("this host has [^ ]* GB left.*: too little")));
  EXPECT_THAT(describe(options).output, AllOf(HasSubstr("left"), Not(HasSubstr("too little"))));
  for (const int processes : {0, 2}) {
    const Outcome refused = run_program("train " + huge + " --output " + run, processes);
    EXPECT_EQ(refused.exit_code, 69);
    EXPECT_THAT(refused.output,
                AllOf(HasSubstr("training needs"), HasSubstr("TB"), HasSubstr("GB left"),
                      HasSubstr(processes == 2 ? "for the 2 processes on " : "for the process on "),
                      HasSubstr("switchyard describe")));
  }
  EXPECT_NE(run_shell("test -e " + run).exit_code, 0) << "it left something behind";
}

const std::string machine = " --network " GOLDEN_DIRECTORY "/machine.textproto";

TEST(Describe, PredictsAStepFromAMachinesConstants) {
  const Outcome outcome = describe("--config tiny --processes 4 --hosts 2" + machine);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("predicted step"), HasSubstr("  exchange "), HasSubstr("tokens/s"),
                    HasSubstr("hours"), HasSubstr("quickest: G = "), HasSubstr("not known"),
                    ContainsRegex("\n  +65,536 +32,768 +65,536 +262,144 ")));
}

// 2 sparse layers, an announcement and 4 transfers in each, 3 other processes; 2 halvings and back
// in each chunk of the sum.
TEST(Describe, CountsTheMessagesOfAProcessAndTheBytesOfAHost) {
  const Outcome outcome = describe("--config tiny --processes 4 --hosts 2");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(ContainsRegex("\n  counts of rows +6 "), ContainsRegex("\n  rows +24 "),
                    HasSubstr("least sent: G = 1"), HasSubstr("need --network FILE")));
  EXPECT_THAT(
      describe("--config tiny --processes 4 --hosts 2 --set parallel.exchange=TWO_LEVEL").output,
      ContainsRegex("\n  rows +24 +[0-9.]+ .B +8 "));
}

TEST(Describe, PlansTheLargestModelOnThousandsOfProcesses) {
  const Outcome outcome = describe(
      "--config c --set parallel.virtual_ranks=2048 --processes 2048 --hosts 32" + machine);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("predicted step"), HasSubstr("2040 more"),
                                    ContainsRegex("\n  +65,536 ")));
}

TEST(Describe, DrawsOtherNumbersOfProcesses) {
  const TemporaryDirectory scratch;
  const std::string picture = scratch.path() + "/scaling.svg";
  const Outcome outcome = describe("--config tiny --processes 2 --picture " + picture + machine);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(read_text(picture), AllOf(HasSubstr("<svg"), HasSubstr("tokens per second"),
                                        HasSubstr("planned, not measured"), HasSubstr("</svg>"),
                                        Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
}

TEST(Describe, RefusesWhatItCannotPlan) {
  const auto code = [](const std::string& arguments) {
    return describe("--config tiny " + arguments).exit_code;
  };
  EXPECT_EQ(code("--processes 2 --hosts 3"), 64);
  EXPECT_EQ(code("--hosts 0"), 64);
  EXPECT_EQ(code("--imbalance 0.5"), 64);
  EXPECT_EQ(code("--picture picture.svg"), 64);
  EXPECT_EQ(code("--network /nowhere"), 66);
  EXPECT_EQ(code("--picture /nowhere/picture.svg" + machine), 73);
}

TEST(BytesText, HasThreeFigures) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1000), "1.00 kB");
  EXPECT_EQ(bytes_text(12'345'678), "12.3 MB");
  EXPECT_EQ(bytes_text(999'600'000), "1.00 GB");
  EXPECT_EQ(bytes_text(123'456'789'012), "123 GB");
}

TEST(AvailableMemory, IsSomethingOnThisMachine) {
  ASSERT_TRUE(available_memory().has_value());
  EXPECT_GT(available_memory()->bytes, 0);
}

TEST(AvailableMemory, SaysWhyItIsNoMore) {
  EXPECT_EQ(available_text({.bytes = 3'000'000, .by_group = false}), "3.00 MB left");
  EXPECT_THAT(available_text({.bytes = 3'000'000, .by_group = true}),
              HasSubstr("3.00 MB left under the memory limit"));
}

}  // namespace
}  // namespace switchyard::test
