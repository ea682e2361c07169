// Studies as a user runs them: a small one that is interrupted twice and continued; its table and
// pictures; the messages about mistakes in a study file; and watching a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>

#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using Row = std::map<std::string, std::string>;

Outcome launch(const std::string& command) { return run_shell(LAUNCH_DIRECTORY "/" + command); }

std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> all(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      all.emplace_back();
    } else {
      all.back() += c;
    }
  }
  return all;
}

// The rows of a CSV, each as a map from column names.
std::vector<Row> read_csv(const std::string& path) {
  std::istringstream in(read_text(path));
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> names = cells(line);
  std::vector<Row> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> values = cells(line);
    EXPECT_EQ(values.size(), names.size()) << line;
    Row row;
    for (std::size_t i = 0; i < std::min(names.size(), values.size()); ++i)
      row[names[i]] = values[i];
    rows.push_back(row);
  }
  return rows;
}

// A study of four runs: stopped by TERM in its second run; in its third, a process of the run is
// killed by SIGKILL, then the study itself; then finished.
class Study : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    write_text(path("text.txt"), synthetic_text(300, 40));
    write_text(path("base.textproto"),
               "model { d_model: 32 d_ff: 64 d_kv: 16 num_heads: 2 num_layers: 2 } "
               "parallel { virtual_ranks: 2 } data { input_length: 32 } "
               "train { batch_size: 4 eval_interval: 50 eval_samples: 8 } "
               "checkpoint { interval: 10 keep_last: 1 }");
    write_text(
        path("small.study"),
        "title Experts & <text>  # a comment\nconfig base.textproto\n"
        "set optimizer.schedule=LINEAR optimizer.decay_steps=steps\n"
        "axis moe.num_experts\nlabel experts\nvalue dense moe.num_experts=0\nvalues 4\n"
        "value hash moe.num_experts=4 moe.routing=HASH\nseeds 1\nseeds 2 for 4\nsteps 300\n");
    const Outcome prepared = run_program("prepare --lines --vocab-size 400 --input " +
                                         path("text.txt") + " --output " + path("data"));
    ASSERT_EQ(prepared.exit_code, 0) << prepared.output;
    const auto when = [](const std::string& run, int steps, const std::string& then) {
      return command() + " & while kill -0 $! && [ \"$(cat " + path("runs/" + run) +
             "/metrics.jsonl 2>/dev/null | wc -l)\" -lt " + std::to_string(steps) +
             " ]; do sleep 0.05; done; " + then + "; wait $!";
    };
    stopped = std::make_unique<Outcome>(run_shell(when("4-seed1", 12, "kill -TERM $!")));
    killed = std::make_unique<Outcome>(run_shell(when(
        "hash-seed1", 25,
        "kill -9 $(sed 's/process \\([0-9]*\\) .*/\\1/' " + path("runs/hash-seed1/lock") + ")")));
    const std::string lock = path("runs/hash-seed1/lock");
    abandoned = std::make_unique<Outcome>(
        run_shell(when("hash-seed1", 60, "kill -9 $!") + "; flock -w 30 " + lock + " true"));
    steps_when_abandoned = read_metrics(path("runs/hash-seed1")).size();
    partial = read_csv_of_partial();
    finished = std::make_unique<Outcome>(run_shell(command()));
  }
  static void TearDownTestSuite() {
    for (auto* outcome : {&stopped, &killed, &abandoned, &finished}) outcome->reset();
    directory.reset();
  }

  static std::string path(const std::string& name) { return directory->path() + "/" + name; }
  static std::string command(const std::string& more = "") {
    return LAUNCH_DIRECTORY "/study.sh " + path("small.study") + " --data " + path("data") +
           " --runs " + path("runs") + " --output " + path("out") + " " + more;
  }
  static std::vector<Row> read_csv_of_partial() {
    const Outcome outcome = run_shell(command("--csv"));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return read_csv(path("out/small.csv"));
  }

  static std::unique_ptr<TemporaryDirectory> directory;
  static std::unique_ptr<Outcome> stopped, killed, abandoned, finished;
  static std::size_t steps_when_abandoned;
  static std::vector<Row> partial;
};

std::unique_ptr<TemporaryDirectory> Study::directory;
std::unique_ptr<Outcome> Study::stopped, Study::killed, Study::abandoned, Study::finished;
std::size_t Study::steps_when_abandoned = 0;
std::vector<Row> Study::partial;

TEST_F(Study, StopsWithItsRunAndGoesOnWhereItWas) {
  EXPECT_EQ(stopped->exit_code, 75) << stopped->output;
  EXPECT_THAT(stopped->output, AllOf(HasSubstr("dense, seed 1: finished, 300 steps"),
                                     HasSubstr("stopped in"), HasSubstr("goes on")));
  EXPECT_NE(killed->exit_code, 0) << killed->output;
  EXPECT_THAT(killed->output, AllOf(HasSubstr("4, seed 1: goes on after step "),
                                    HasSubstr("hash-seed1 ended with exit code")));
  ASSERT_EQ(finished->exit_code, 0) << finished->output;
  EXPECT_THAT(finished->output, AllOf(HasSubstr("hash, seed 1: goes on after step "),
                                      HasSubstr("4, seed 2: begins")));
  EXPECT_THAT(read_text(path("runs/4-seed1/log.txt")), HasSubstr("resumed from step "));
  EXPECT_THAT(read_text(path("runs/hash-seed1/log.txt")), HasSubstr("resumed from step "));
  // Finished runs were not started again.
  EXPECT_THAT(read_text(path("runs/dense-seed1/log.txt")), Not(HasSubstr("resumed")));
}

TEST_F(Study, LeavesNoRunBehindWhereItIsKilled) {
  EXPECT_EQ(abandoned->exit_code, 0) << "the run goes on without its study";
  EXPECT_GE(steps_when_abandoned, 60U);
  EXPECT_LT(steps_when_abandoned, 300U);
  EXPECT_EQ(read_metrics(path("runs/hash-seed1")).size(), 300U);
}

TEST_F(Study, HasARowForEachRunThatHasBegun) {
  ASSERT_EQ(partial.size(), 3U);
  EXPECT_EQ(partial[1].at("status"), "finished");
  EXPECT_EQ(partial[2].at("value"), "hash");
  EXPECT_EQ(partial[2].at("status"), "unfinished");

  const std::vector<Row> rows = read_csv(path("out/small.csv"));
  ASSERT_EQ(rows.size(), 4U);
  std::vector<std::string> names;
  for (const Row& row : rows) {
    names.push_back(row.at("value") + " " + row.at("seed"));
    EXPECT_EQ(row.at("study"), "small");
    EXPECT_EQ(row.at("status"), "finished");
    EXPECT_EQ(row.at("steps"), "300");
    EXPECT_LE(std::stod(row.at("final_neg_log_perplexity")),
              std::stod(row.at("best_neg_log_perplexity")));
    EXPECT_LT(std::stod(row.at("final_neg_log_perplexity")), -1);
    EXPECT_GT(std::stod(row.at("late_train_loss")), 1);
    EXPECT_THAT(row.at("settings"), HasSubstr("optimizer.decay_steps=300"));
    for (const char* column : {"tokens", "seconds", "tokens_per_second", "peak_memory_bytes",
                               "parameters", "active_parameters", "processes", "threads"})
      EXPECT_GT(std::stod(row.at(column)), 0) << column;
    for (const char* column : {"commit", "machine", "data"}) EXPECT_NE(row.at(column), "");
    for (const char* column : {"dropped_fraction", "load_imbalance", "tokens_per_expert"})
      EXPECT_EQ(row.at(column).empty(), row.at("value") == "dense") << column;
  }
  EXPECT_THAT(names, ElementsAre("dense 1", "4 1", "hash 1", "4 2"));
}

TEST_F(Study, RecordsTheLossThatTheRunHas) {
  for (const Row& row : read_csv(path("out/small.csv"))) {
    const auto records = read_metrics(path("runs/" + row.at("value") + "-seed" + row.at("seed")));
    ASSERT_EQ(records.size(), 300U);
    EXPECT_EQ(std::stod(row.at("final_neg_log_perplexity")),
              records.back().at("eval/neg_log_perplexity").get<double>());
    double loss = 0;
    for (std::size_t i = 240; i < 300; ++i) loss += records[i].at("loss").get<double>() / 60;
    EXPECT_NEAR(std::stod(row.at("late_train_loss")), loss, 1e-12);
  }
}

TEST_F(Study, IsRebuiltFromItsRunsToTheByte) {
  const std::string csv = read_text(path("out/small.csv")),
                    page = read_text(path("out/small.html"));
  fs::rename(path("out"), path("away"));
  const Outcome rebuilt = run_shell(command("--csv"));
  ASSERT_EQ(rebuilt.exit_code, 0) << rebuilt.output;
  EXPECT_EQ(read_text(path("out/small.csv")), csv);
  EXPECT_EQ(read_text(path("out/small.html")), page);
}

// Checks XML like a reader: every element that opens also closes, in order.
void expect_well_formed(const std::string& text, const std::string& name) {
  std::vector<std::string> open;
  for (std::size_t at = 0; (at = text.find('<', at)) != text.npos;) {
    if (text.compare(at, 4, "<!--") == 0) {
      at = text.find("-->", at);
      continue;
    }
    const std::size_t end = text.find('>', at);
    ASSERT_NE(end, text.npos) << name;
    const std::string tag = text.substr(at + 1, end - at - 1);
    at = end;
    if (tag[0] == '?' || tag[0] == '!' || tag.back() == '/' || tag.starts_with("meta")) continue;
    const std::string element = tag.substr(0, tag.find_first_of(" \t\n\r"));
    if (element[0] != '/') {
      open.push_back(element);
    } else {
      ASSERT_FALSE(open.empty()) << name << ": " << element;
      ASSERT_EQ("/" + open.back(), element) << name;
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty()) << name << ": " << open.back() << " is not closed";
}

// What a reader of a picture reads: the description and the style are not seen.
std::string visible_text(const std::string& svg) {
  std::string all;
  const std::string begin = "<text>", end = "</text>";
  for (std::size_t at = 0; (at = svg.find(begin, at)) != svg.npos;) {
    at += begin.size();
    std::string line = svg.substr(at, svg.find(end, at) - at);
    line.erase(0, line.find_first_not_of(" \t\n"));
    all += line + " ";
  }
  return all;
}

TEST_F(Study, DrawsPicturesAndAPageThatHoldsThem) {
  const std::string page = read_text(path("out/small.html"));
  expect_well_formed(page, "the page");
  EXPECT_THAT(page, HasSubstr("<h1>Experts &amp; &lt;text&gt;</h1>"));
  EXPECT_THAT(page, Not(testing::AnyOf(HasSubstr("<script"), HasSubstr("src="))));
  std::size_t count = 0;
  for (const char* picture :
       {"loss-by-step", "loss-by-time", "gain-by-step", "gain-by-time", "loss-by-value",
        "loss-by-parameters", "loss-by-step-time", "dropped", "imbalance", "load-4", "load-hash"}) {
    const std::string svg = read_text(path("out/") + picture + ".svg");
    EXPECT_THAT(svg, HasSubstr("prefers-color-scheme: dark")) << picture;
    expect_well_formed(svg, picture);
    EXPECT_EQ(read_text(path("out/") + picture + ".png").substr(1, 3), "PNG") << picture;
    EXPECT_THAT(page, HasSubstr("<title>" + std::string(picture) + "</title>"));
    // Pictures are shown without their page: which study, how many seeds and which budget stand in
    // each.
    const std::string seen = visible_text(svg);
    EXPECT_THAT(seen, HasSubstr("Experts &amp; &lt;text>: ")) << picture;
    EXPECT_THAT(seen, HasSubstr("seed")) << picture;
    EXPECT_THAT(seen, HasSubstr("300 steps (")) << picture;
    ++count;
  }
  EXPECT_GE(count, 11U);
  const std::string by_step = visible_text(read_text(path("out/loss-by-step.svg")));
  EXPECT_THAT(by_step,
              AllOf(HasSubstr("validation loss by step"), HasSubstr("each seed; band: least"),
                    HasSubstr("1 to 2 seeds per value")));
  // All layers that are sparse, in both stacks.
  EXPECT_THAT(read_text(path("out/load-4.svg")),
              AllOf(HasSubstr("encoder block 1"), HasSubstr("decoder block 1")));
}

TEST_F(Study, IsDrawnFromItsTablesWithoutItsRuns) {
  for (const char* table : {"small.csv", "small-curves.csv"}) {
    fs::create_directories(path("tables"));
    fs::copy_file(path("out/") + table, path("tables/") + table);
  }
  const Outcome drawn = launch("study.sh " + path("small.study") + " --page --format svg --runs " +
                               path("nowhere") + " --output " + path("tables"));
  ASSERT_EQ(drawn.exit_code, 0) << drawn.output;
  EXPECT_EQ(read_text(path("tables/small.md")), read_text(path("out/small.md")));
  EXPECT_TRUE(fs::exists(path("tables/loss-by-step.svg")));
  EXPECT_FALSE(fs::exists(path("tables/loss-by-step.png")));
}

// One value with one evaluation: the curve is a single point.
TEST_F(Study, OfOneValueAndThreeStepsIsDrawn) {
  write_text(path("one.study"), "config base.textproto\naxis moe.num_experts\nvalues 4\nsteps 3\n");
  const Outcome outcome = launch("study.sh " + path("one.study") + " --data " + path("data") +
                                 " --runs " + path("one"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(read_text(path("one/loss-by-step.svg")), HasSubstr("</svg>"));
}

TEST_F(Study, SumsUpValueByValueAndClaimsNothingOfTooFewSeeds) {
  const std::string table = read_text(path("out/small.md"));
  EXPECT_THAT(table,
              AllOf(HasSubstr("| experts | seeds |"), HasSubstr("\n| dense | 1 |"),
                    HasSubstr("\n| 4 | 1 2 |"), HasSubstr(" ± "), HasSubstr("no claim: 4, hash.")));
}

TEST_F(Study, RefusesRunsOfAnotherStudy) {
  const Outcome outcome = run_shell(command("--set moe.jitter_eps=0"));
  EXPECT_EQ(outcome.exit_code, 78) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("was made with another study"));
}

TEST_F(Study, RefusesRunsOfAnotherBaseConfigurationButNotOfOtherComments) {
  const std::string base = read_text(path("base.textproto"));
  write_text(path("base.textproto"), "# Why it is so.\n" + base);
  const Outcome commented = run_shell(command(""));
  write_text(path("base.textproto"), base + "\nmoe { jitter_eps: 0 }\n");
  const Outcome changed = run_shell(command(""));
  write_text(path("base.textproto"), base);
  EXPECT_EQ(commented.exit_code, 0) << commented.output;
  EXPECT_EQ(changed.exit_code, 78) << changed.output;
}

TEST_F(Study, TakesABudgetOfTrainingTime) {
  write_text(
      path("timed.study"),
      "config base.textproto\naxis processes\nvalues 1 2\nminutes 0.02\nset moe.num_experts=2");
  const Outcome outcome = launch("study.sh " + path("timed.study") + " --data " + path("data") +
                                 " --runs " + path("timed"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  const std::vector<Row> rows = read_csv(path("timed/timed.csv"));
  ASSERT_EQ(rows.size(), 2U);
  for (const Row& row : rows) {
    EXPECT_EQ(row.at("status"), "finished");
    EXPECT_EQ(row.at("processes"), row.at("value"));
    EXPECT_GE(std::stod(row.at("seconds")), 1.2);
    const auto records = read_metrics(path("timed/" + row.at("value") + "-seed1"));
    EXPECT_EQ(std::to_string(records.size()), row.at("steps"));
    EXPECT_TRUE(records.back().contains("eval/loss")) << "the last step is evaluated";
  }
  EXPECT_TRUE(fs::exists(path("timed/throughput.svg")));
}

// The runs exist already; the other arguments change only the table and the pictures.
TEST_F(Study, TakesAnyNameOfItsFileAndAnyLabel) {
  const std::string name = "a, b's & <c>", label = "exp'erts\\ & <more> \"quoted\"";
  const std::string text = read_text(path("small.study"));
  std::string odd = text;
  odd.replace(text.find("label experts"), 13, "label " + label);
  write_text(path(name + ".study"), odd);
  write_text(path("name"), path(name + ".study"));
  const Outcome outcome = launch("study.sh \"$(cat " + path("name") + ")\" --csv --runs " +
                                 path("runs") + " --output " + path("odd"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  const std::vector<Row> rows = read_csv(path("odd/" + name + ".csv"));
  ASSERT_EQ(rows.size(), 4U);
  for (const Row& row : rows) EXPECT_EQ(row.at("study"), name);
  expect_well_formed(read_text(path("odd/" + name + ".html")), name);
  const std::string table = read_text(path("odd/" + name + ".md"));
  EXPECT_THAT(table, AllOf(HasSubstr("| " + label + " |"), HasSubstr("\n| 4 | 1 2 |")));
  const std::string svg = read_text(path("odd/loss-by-step.svg"));
  expect_well_formed(svg, "loss-by-step");
  EXPECT_NE(svg.find("exp'erts\\ &amp; &lt;more>"), svg.npos);
}

TEST_F(Study, HasPointsInItsTableWhereNumbersHaveCommas) {
  fs::create_directories(path("locales"));
  if (run_shell("localedef -i de_DE -f UTF-8 " + path("locales/de_DE.UTF-8")).exit_code != 0)
    GTEST_SKIP() << "no sources of locales here";
  const Outcome outcome = run_shell(
      "LOCPATH=" + path("locales") + " LC_ALL=de_DE.UTF-8 " LAUNCH_DIRECTORY "/study.sh " +
      path("small.study") + " --csv --runs " + path("runs") + " --output " + path("commas"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  for (const char* file : {"/small.csv", "/small.md", "/small.html", "/loss-by-value.svg"})
    EXPECT_EQ(read_text(path("commas") + file), read_text(path("out") + file)) << file;
}

// The scripts with a stand-in for the program, whose `compare` fails.
TEST_F(Study, BlamesARunOnlyWhereTheProgramDoes) {
  fs::create_directories(path("clone/build/release"));
  fs::copy(LAUNCH_DIRECTORY, path("clone/launch"), fs::copy_options::recursive);
  const std::string program = path("clone/build/release/switchyard");
  for (const int code : {69, 78, 65}) {
    write_text(program, "#!/bin/sh\n[ \"$1\" = compare ] || exec " SWITCHYARD_PROGRAM
                        " \"$@\"\necho 'switchyard: a reason' >&2\nexit " +
                            std::to_string(code) + "\n");
    fs::permissions(program, fs::perms::owner_all);
    const Outcome outcome = run_shell(path("clone/launch/study.sh") + " " + path("small.study") +
                                      " --csv --runs " + path("runs") + " --output " + path("no"));
    EXPECT_EQ(outcome.exit_code, code);
    EXPECT_THAT(outcome.output, HasSubstr("switchyard: a reason\n"));
    EXPECT_EQ(outcome.output.find("cannot be read: move it away") != std::string::npos, code == 65);
  }
}

TEST_F(Study, GoesOnWhereNobodyReadsWhatItPrints) {
  run_shell("{ " + command("--csv --output " + path("unread")) + "; echo $? >" + path("code") +
            "; } 2>&1 | head -n 1; until [ -s " + path("code") + " ]; do sleep 0.1; done");
  EXPECT_EQ(read_text(path("code")), "0\n");
  EXPECT_TRUE(fs::exists(path("unread/small.html")));
  const Outcome refused = run_shell("TMPDIR=/nowhere/at/all " + command("--list"));
  EXPECT_EQ(refused.exit_code, 73);
  EXPECT_THAT(refused.output, HasSubstr("study.sh: TMPDIR is '/nowhere/at/all', where "));
}

// Steps are so long that the run cannot end by itself between the two interrupts.
TEST_F(Study, EndsAtOnceAtASecondInterrupt) {
  write_text(path("slow.study"),
             "config base.textproto\naxis moe.num_experts\nvalues 0\nsteps 9\n"
             "set model.d_model=512 model.d_ff=2048 data.input_length=256 train.batch_size=32");
  const Outcome outcome = run_shell(
      "env --default-signal=INT " LAUNCH_DIRECTORY "/study.sh " + path("slow.study") + " --data " +
      path("data") + " --runs " + path("slow") + " & while kill -0 $! && [ ! -s " +
      path("slow/0-seed1") +
      "/metrics.jsonl ]; do sleep 0.05; done; kill -INT $!; sleep 0.3; kill -INT $!; wait $!");
  EXPECT_EQ(outcome.exit_code, 137) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("ended with exit code 137"));
  EXPECT_THAT(read_text(path("slow/0-seed1.log")), HasSubstr("Ctrl-C again ends at once"));
}

TEST_F(Study, IsWatchedWithoutATerminal) {
  const Outcome outcome = launch("watch.sh --once " + path("runs/4-seed1"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("step 300 of 300"), HasSubstr("done"), HasSubstr("tokens/s"),
                    HasSubstr("validation"), HasSubstr("encoder.block.1")));
  EXPECT_EQ(launch("watch.sh").exit_code, 64);
  EXPECT_EQ(launch("watch.sh --often " + path("runs/4-seed1")).exit_code, 64);
  EXPECT_EQ(launch("watch.sh " + path("nowhere")).exit_code, 66);
}

// Of three seeds, one gains much from its experts and two never reach the dense model's final loss:
// a mean over those that do would claim a gain due to chance.
TEST(StudyTable, ClaimsNoSpeedUpThatSomeSeedsDoNotReach) {
  const TemporaryDirectory directory;
  const auto path = [&](const char* name) { return directory.path() + "/" + name; };
  std::string csv = "study,value,seed,status,steps,tokens,seconds,final\n", curves;
  const auto run = [&](const std::string& value, int seed, const char* halfway, const char* final) {
    const std::string seed_text = std::to_string(seed);
    csv += "s," + value + "," + seed_text + ",finished,100,1,10,-" + final + ",-" + final +
           ",100,3,1,,,,,1,1,2,1,abc,\"CPU, 2 cores\",d,\"\"\n";
    curves += value + " " + seed_text + " 50 5 " + halfway + "\n" + value + " " + seed_text +
              " 100 10 " + final + "\n";
  };
  for (const int seed : {1, 2, 3}) run("dense", seed, "4.0", "3.0");
  run("8", 1, "3.0", "2.5");
  run("8", 2, "4.0", "3.1");
  run("8", 3, "4.0", "3.2");
  write_text(path("runs.csv"), csv);
  write_text(path("curves"), curves);
  write_text(path("table.sh"),
             ". " LAUNCH_DIRECTORY
             "/study_table.sh; baseline=dense label=experts name=s wanted=(1 "
             "2 3 4 5 6); work=" +
                 directory.path() + "; csv=$work/runs.csv; awk -F, -v baseline=dense -v curves=" +
                 path("curves") + " \"$summary\" \"$csv\" >$work/summary; table_cells; notes");
  const Outcome outcome = run_shell("bash " + path("table.sh"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("reached by 1 of 3\treached by 1 of 3"),
                    HasSubstr("than the seeds are from each other, so no claim: 8.")));
}

// Seed 2's dense run ends earlier than seed 3's. Beyond that point the mean over seeds would jump
// to seed 3's curve. Seed 1 served to choose what is claimed, so it does not count.
TEST(StudyPage, ComparesCurvesOfTheSameSeedsAllAlong) {
  const TemporaryDirectory directory;
  const auto path = [&](const char* name) { return directory.path() + "/" + name; };
  std::string curves;
  const auto run = [&](const char* value, int seed, int seconds, const char* halfway,
                       const char* final) {
    const std::string start = std::string(value) + " " + std::to_string(seed);
    curves += start + " 50 " + std::to_string(seconds / 2) + " " + halfway + "\n" + start +
              " 100 " + std::to_string(seconds) + " " + final + "\n";
  };
  run("dense", 1, 40, "9.0", "8.0");
  run("dense", 2, 20, "4.0", "3.0");
  run("dense", 3, 40, "6.0", "5.0");
  for (const int seed : {1, 2, 3}) run("8", seed, 40, "2.0", "1.0");
  run("16", 1, 40, "7.0", "6.0");
  write_text(path("curves"), curves);
  write_text(path("means.sh"),
             ". " LAUNCH_DIRECTORY
             "/study_page.sh; declare -A study=([claim]='2 3'); baseline=dense work=" +
                 directory.path() + " curves=" + path("curves") +
                 "; mean_curves; for v in dense 8 16; do cat $work/mean-$v; done");
  const Outcome outcome = run_shell("bash " + path("means.sh"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(outcome.output,
            "50 15 5 0 0\n100 30 4 0 0\n"
            "50 20 2 3 2.5\n100 40 1 3 nan\n"
            "50 20 7 2 2\n100 40 6 2 2\n");
}

// As if each run was evaluated once: gnuplot fails on a curve without points.
TEST(StudyPage, HasNoLineWhereNothingCanBeCompared) {
  const TemporaryDirectory directory;
  write_text(directory.path() + "/mean-8", "20 2 4.9 0.1 nan\n");
  const Outcome outcome =
      run_shell("bash -c '. " LAUNCH_DIRECTORY "/figures.sh; . " LAUNCH_DIRECTORY
                "/study_page.sh; values=(8) work=" +
                directory.path() + "; lines x 4; echo \"[$(lines x 5)]\"'");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("using (x):4"), HasSubstr("[]")));
}

TEST(StudyFile, ThatIsWrongIsRefusedInASentence) {
  const TemporaryDirectory directory;
  const std::string file = directory.path() + "/a.study";
  fs::create_directory(directory.path() + "/data");
  const std::string good = "config tiny\naxis moe.num_experts\n", runs = "values 1 2\nsteps 3\n";
  const struct {
    std::string text, phrase;
  } mistakes[] = {
      {"", "there is no 'config'"},
      {"config tiny\nvalues 1 2\nsteps 3", "there is no 'axis'"},
      {good + "steps 3", "there is no 'values'"},
      {good + "values 1 2", "there is no budget"},
      {good + runs + "minutes 2", "not both"},
      {good + "valeus 1\n" + runs, "a.study:3: unknown word 'valeus'"},
      {good + "config tiny\n" + runs, "a.study:3: 'config' is said twice"},
      {good + "values 1 2\nsteps many", "'many' is no number of steps"},
      {good + "values 1 2\nminutes -1", "'-1' is no number of minutes"},
      {good + "values 1 1\nsteps 3", "value 1 is there twice"},
      {good + "values ../1\nsteps 3", "'../1' cannot name a value"},
      {good + runs + "baseline 7", "the baseline 7 is none of the values"},
      {good + runs + "seeds one", "'one' is no seed"},
      {good + runs + "seeds 2 for 3", "3 is none of the values"},
      {good + runs + "seeds 2 for 1", "value 2 has no seed"},
      {good + runs + "set train.batch_size", "'train.batch_size' is not PATH=VALUE"},
      {good + "values 1 x\nsteps 3", "value x: --set moe.num_experts=x"},
      {"config tiny\naxis moe.num_expert\n" + runs, "there is no option moe.num_expert"},
      {"config nowhere.textproto\naxis moe.num_experts\n" + runs, "nowhere.textproto"},
      {good + runs + "set train.batch_size=3", "train.batch_size (3) is not a multiple"},
      {good + "values 1\nminutes 1\nset optimizer.decay_steps=steps", "needs a budget of steps"},
  };
  for (const auto& [text, phrase] : mistakes) {
    write_text(file, text);
    const Outcome outcome = launch("study.sh " + file + " --data " + directory.path() +
                                   "/data --runs " + directory.path() + "/runs");
    EXPECT_EQ(outcome.exit_code, 64) << text << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(testing::StartsWith("study.sh: "), HasSubstr(phrase)));
    EXPECT_LE(std::ranges::count(outcome.output, '\n'), 2) << outcome.output;
    EXPECT_FALSE(fs::exists(directory.path() + "/runs")) << "a refused study left something behind";
  }
  write_text(file, good + runs);
  EXPECT_EQ(launch("study.sh " + file).exit_code, 64) << "no data";
  EXPECT_EQ(launch("study.sh " + file + " --data /nowhere").exit_code, 66);
  EXPECT_EQ(launch("study.sh " + file + " --nonsense").exit_code, 64);
  EXPECT_EQ(launch("study.sh " + file + " --data").exit_code, 64);
  EXPECT_EQ(launch("study.sh").exit_code, 64);
  EXPECT_EQ(launch("study.sh /nowhere.study").exit_code, 66);
}

// Passes each value to the program, which refuses unknown options and contradictory values.
TEST(StudyFile, OfEachShippedStudyIsWhatTheProgramTakes) {
  int studies = 0;
  for (const auto& entry :
       fs::recursive_directory_iterator(LAUNCH_DIRECTORY "/../cluster/scaling")) {
    if (entry.path().extension() != ".study") continue;
    ++studies;
    const Outcome outcome =
        launch("study.sh " + entry.path().string() + " --steps 200 --list --runs /nowhere");
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("missing"));
  }
  EXPECT_EQ(studies, 10);
}

TEST(Books, BecomeDocumentsWithoutMarkdown) {
  const TemporaryDirectory directory;
  const std::string clone = directory.path() + "/clone", output = directory.path() + "/books";
  fs::create_directories(clone + "/Jane Austen");
  fs::create_directories(clone + "/Another Author");
  write_text(clone + "/README.md", "not a book");
  write_text(clone + "/Jane Austen/A Novel: Part 1.md",
             "\n## I\n\nIt was *a* dark\nnight.\n\nNo.\n");
  write_text(clone + "/Another Author/B.md",
             std::string(2000, 'a') + "\n\n" + std::string(2000, 'b') + "\n\n_c_\n");
  const Outcome outcome = launch("../cluster/scaling/books.sh " + clone + " " + output);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(read_text(output + "/validation.txt"), "It was a dark night.\nNo.\n\n");
  EXPECT_EQ(read_text(output + "/train.txt"),
            std::string(2000, 'a') + "\n\n" + std::string(2000, 'b') + "\nc\n\n");
  EXPECT_EQ(launch("../cluster/scaling/books.sh " + output + " " + output).exit_code, 66);
}

}  // namespace
}  // namespace switchyard::test
