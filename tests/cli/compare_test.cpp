// `switchyard compare` as a user sees it: on trained runs, and on run directories in every state
// that a run may leave behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <sstream>

#include "config/run_config.hpp"
#include "record/metrics.hpp"
#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Words = std::vector<std::string>;

Outcome compare(const std::string& arguments) { return run_program("compare " + arguments); }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

Words words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

// The words of the first line that begins with `first`; empty if there is none.
Words row(const Outcome& outcome, const std::string& first) {
  for (const std::string& line : lines_of(outcome.output)) {
    const Words words = words_of(line);
    if (!words.empty() && words[0] == first) return words;
  }
  return {};
}

// A run directory without training: a configuration, and one record with an evaluation per loss.
void make_run(const std::string& run, const Words& sets, const std::vector<double>& losses) {
  fs::create_directories(run);
  write_text(run + "/config.textproto", resolved_text(load_config({}, sets)));
  std::string records;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    StepRecord record;
    record.set_step(static_cast<std::int64_t>(i + 1));
    record.set_seconds(90.0 * static_cast<double>(i + 1));
    record.set_step_ms(500);
    record.set_tokens_per_second(20'000);
    record.set_eval_samples(3);
    record.set_eval_loss(losses[i]);
    records += to_json(record) + "\n";
  }
  write_text(run + "/metrics.jsonl", records);
}

class Compare : public testing::Test {
 protected:
  void SetUp() override { fs::current_path(directory_.path()); }
  void TearDown() override { fs::current_path("/"); }

 private:
  const TemporaryDirectory directory_;
};

TEST_F(Compare, PrintsALineARunInTheOrderGivenInAlignedColumns) {
  make_run("a", {"train.steps=4000"}, {4, 2.5, 3});
  make_run("a-longer-name", {"train.steps=4000"}, {12.25});
  const Outcome outcome = compare("a-longer-name a a");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  const std::vector<std::string> lines = lines_of(outcome.output);
  ASSERT_GE(lines.size(), 4u);
  EXPECT_THAT(words_of(lines[1]), ElementsAre("a-longer-name", "1/4,000", "10,000", "1.50",
                                              "12.2500", "12.2500", "1", "-", "-"));
  EXPECT_THAT(words_of(lines[2]), ElementsAre("a", "3/4,000", "30,000", "4.50", "3.0000", "2.5000",
                                              "2", "20,000", "-"));
  EXPECT_EQ(lines[3], lines[2]);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(lines[i].size(), lines[0].size());
}

TEST_F(Compare, ShowsTheOptionsThatDifferAndNoOthersPathsLast) {
  make_run("a", {"data.train=/x", "train.seed=1", "model.d_model=256"}, {3});
  make_run("b", {"data.train=/y", "train.seed=2", "model.d_kv=64"}, {3});
  make_run("c", {"data.train=/x", "moe.num_experts=0"}, {3});
  const Outcome outcome = compare("a b c");
  const std::vector<std::string> lines = lines_of(outcome.output);
  ASSERT_EQ(lines.size(), 9u) << outcome.output;
  EXPECT_EQ(lines[4], "");
  EXPECT_THAT(words_of(lines[5]), ElementsAre("option", "a", "b", "c"));
  EXPECT_THAT(words_of(lines[6]), ElementsAre("moe.num_experts", "8", "8", "0"));
  EXPECT_THAT(words_of(lines[7]), ElementsAre("train.seed", "1", "2", "1"));
  EXPECT_THAT(words_of(lines[8]), ElementsAre("data.train", "\"/x\"", "\"/y\"", "\"/x\""));
}

// A run of an earlier version, whose configuration lacks options added since.
TEST_F(Compare, CountsAnOptionThatIsNotWrittenOutAsItsDefault) {
  make_run("a", {}, {3});
  make_run("b", {}, {3});
  write_text("b/config.textproto", "train { steps: 1000 }");
  EXPECT_THAT(compare("a b").output, HasSubstr("\nno option differs\n"));
  write_text("b/config.textproto", "train { steps: 7 }");
  EXPECT_THAT(row(compare("a b"), "train.steps"), ElementsAre("train.steps", "1000", "7"));
}

TEST_F(Compare, OfOneRunIsItsLineAlone) {
  make_run("a", {}, {3});
  EXPECT_EQ(lines_of(compare("a").output).size(), 2u);
}

TEST_F(Compare, TakesARunThatHasNoStepYet) {
  make_run("a", {}, {});
  const Words nothing = {"a", "0/1,000", "0", "0.00", "-", "-", "-", "-", "-"};
  EXPECT_EQ(row(compare("a"), "a"), nothing);
  fs::remove("a/metrics.jsonl");
  EXPECT_EQ(row(compare("a"), "a"), nothing);
}

TEST_F(Compare, SaysWhereARunDiverged) {
  make_run("a", {}, {3, 2});
  write_text("a/metrics.jsonl",
             read_text("a/metrics.jsonl") + R"({"step":3,"loss":null,"nonfinite":true})" + "\n");
  EXPECT_THAT(compare("a").output, HasSubstr("\na diverged at step 3\n"));
  EXPECT_EQ(row(compare("a"), "a")[1], "2/1,000");
}

TEST_F(Compare, PrintsARowARunForOtherPrograms) {
  make_run("a,b", {"train.steps=4000", "model.vocab_size=1000"}, {4, 2.5, 3.1});
  make_run("c", {}, {});
  const std::vector<std::string> lines = lines_of(compare("--csv a,b c").output);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], StartsWith("run,steps,planned_steps,tokens,seconds,eval_step,"));
  EXPECT_THAT(lines[1], StartsWith("\"a,b\",3,4000,30000,270,3,-3.1,2,-2.5,0,20000,,,,"));
  EXPECT_EQ(lines[2], "c,0,1000,0,0,,,,,,,,,,,,");
  const auto commas = [](const std::string& line) { return std::ranges::count(line, ','); };
  EXPECT_EQ(commas(lines[0]), commas(lines[2]));
  EXPECT_EQ(commas(lines[0]) + 1, commas(lines[1]));
}

TEST_F(Compare, PrintsARowAStepForOtherPrograms) {
  make_run("a", {}, {4, 2.5});
  make_run("b,c", {}, {1.0 / 3});
  EXPECT_THAT(lines_of(compare("--steps-csv a b,c").output),
              ElementsAre("run,step,samples,seconds,loss,loss_total,eval_loss,norm,lr,aux,"
                          "dropped_fraction,load_imbalance,step_ms,tokens_per_second",
                          "a,1,,90,,,4,,,,,,500,20000", "a,2,,180,,,2.5,,,,,,500,20000",
                          "\"b,c\",1,,90,,,0.3333333333333333,,,,,,500,20000"));
  EXPECT_EQ(compare("--csv --steps-csv a").exit_code, 64);
  EXPECT_EQ(compare("--steps-csv nowhere").exit_code, compare("nowhere").exit_code);
}

TEST_F(Compare, RefusesWhatIsNoRunInOneSentence) {
  make_run("a", {}, {3, 2, 1});
  make_run("config", {}, {3});
  write_text("config/config.textproto", "model {\n  d_modle: 4\n}\n");
  make_run("empty", {}, {3});
  write_text("empty/config.textproto", "");
  make_run("line", {}, {3});
  write_text("line/metrics.jsonl",
             read_text("a/metrics.jsonl") + "{}\n" + read_text("a/metrics.jsonl"));
  make_run("folder", {}, {});
  fs::remove("folder/metrics.jsonl");
  fs::create_directory("folder/metrics.jsonl");
  fs::create_directory("other");
  const struct {
    std::string arguments;
    int code;
    std::string phrase;
  } mistakes[] = {
      {"", 64, "compare: no RUN is given"},
      {"a ''", 64, "a RUN is empty"},
      {"a --hash", 64, "there is no option --hash"},
      {"a nowhere", 66, "nowhere is not a run"},
      {"a other", 66, "other is not a run"},
      {"a/config.textproto", 66, "a/config.textproto is not a run"},
      {"a config", 65, "config/config.textproto:2:3: "},
      {"a empty", 65, "empty/config.textproto is empty"},
      {"a line", 65, "line/metrics.jsonl:4 "},
      {"a folder", 65, "folder/metrics.jsonl: it is a directory"},
  };
  for (const auto& [arguments, code, phrase] : mistakes) {
    const Outcome outcome = compare(arguments);
    EXPECT_EQ(outcome.exit_code, code) << arguments;
    EXPECT_THAT(outcome.output, AllOf(StartsWith("switchyard: "), HasSubstr(phrase)));
    const std::vector<std::string> lines = lines_of(outcome.output);
    ASSERT_EQ(lines.size(), 2u) << outcome.output;
    EXPECT_THAT(lines[1], StartsWith("  hint: "));
  }
  EXPECT_EQ(run_program("compare a", 2).exit_code, 64);
}

// Killed after its last record, with the newest checkpoint two steps earlier and a truncated line.
TEST_F(Compare, OfAResumedRunIsTheLineOfTheUninterruptedOneButForItsTimes) {
  write_text("text.txt", synthetic_text(300, 30));
  ASSERT_EQ(
      run_program("prepare --lines --input text.txt --vocab-size 300 --output data").exit_code, 0);
  const Outcome trained = run_program(
      "train --set data.train=data data.input_length=32 model.d_model=32 model.d_ff=64 "
      "model.num_heads=2 model.num_layers=2 moe.num_experts=4 parallel.virtual_ranks=4 "
      "train.batch_size=8 train.steps=6 train.eval_interval=2 train.eval_samples=5 "
      "checkpoint.interval=2 --output whole");
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  fs::copy("whole", "killed", fs::copy_options::recursive);
  fs::remove_all("killed/checkpoints/step-00000006");
  write_text("killed/metrics.jsonl", read_text("killed/metrics.jsonl") + "{\"step\":7,");

  const auto figures = [](const Outcome& outcome, const std::string& run) {
    Words words = row(outcome, run);
    for (const std::size_t time : {7, 3, 0}) words.erase(words.begin() + time);
    return words;
  };
  const Outcome before = compare("whole killed");
  ASSERT_EQ(before.exit_code, 0) << before.output;
  EXPECT_THAT(before.output, HasSubstr("\nno option differs\n"));
  const Words expected = figures(before, "whole");
  EXPECT_THAT(expected[0], "6/6");
  EXPECT_THAT(expected, Not(testing::Contains("-"))) << "something was not measured";
  EXPECT_EQ(figures(before, "killed"), expected);

  ASSERT_EQ(run_program("train --output killed", 2).exit_code, 0);
  EXPECT_THAT(read_text("killed/log.txt"), HasSubstr("resumed from step 4"));
  const Outcome after = compare("whole killed");
  EXPECT_EQ(figures(after, "killed"), expected);
  EXPECT_EQ(row(after, "whole"), row(before, "whole"));
}

}  // namespace
}  // namespace switchyard::test
