// The launch scripts as a user runs them: what all of them have in common, how local.sh stops a
// run, what plot.sh and watch.sh show of a run, and the quickstart from beginning to end, with only
// a few steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <regex>
#include <vector>

#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Outcome launch(const std::string& command) { return run_shell(LAUNCH_DIRECTORY "/" + command); }

TEST(Scripts, RefuseWhatTheyDoNotUnderstand) {
  EXPECT_EQ(launch("install_dependencies.sh --nonsense").exit_code, 64);
  EXPECT_EQ(launch("quickstart.sh --nonsense").exit_code, 64);
  EXPECT_EQ(launch("quickstart.sh --steps").exit_code, 64);
  EXPECT_EQ(launch("test.sh --nonsense").exit_code, 64);
  EXPECT_EQ(launch("plot.sh").exit_code, 64);
  EXPECT_EQ(launch("plot.sh --nonsense").exit_code, 64);
  EXPECT_EQ(launch("plot.sh --format gif /nowhere").exit_code, 64);
  EXPECT_EQ(launch("plot.sh /nowhere").exit_code, 66);
}

std::vector<std::string> all_scripts() {
  std::vector<std::string> scripts;
  for (const char* folder : {"", "/../cluster", "/../tests/bench"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(std::string(LAUNCH_DIRECTORY) + folder))
      if (entry.path().extension() == ".sh") scripts.push_back(entry.path());
  }
  return scripts;
}

// Decimal commas and different collation orders come from the user's locale.
TEST(Scripts, HaveHelpAndALocaleOfTheirOwn) {
  const std::vector<std::string> scripts = all_scripts();
  EXPECT_GE(scripts.size(), 19U);
  for (const std::string& script : scripts) {
    const Outcome help = run_shell("bash '" + script + "' --help 2>/dev/null");
    EXPECT_EQ(help.exit_code, 0) << script;
    EXPECT_THAT(help.output, AllOf(Not(testing::IsEmpty()), Not(testing::StartsWith("#"))))
        << script;
    EXPECT_EQ(run_shell("bash '" + script + "' --help 2>&1 >/dev/null").output, "") << script;
    EXPECT_THAT(read_text(script), HasSubstr("\nexport LC_ALL=C.UTF-8\n")) << script;
  }
}

TEST(Scripts, HaveNothingThatShellcheckWarnsOf) {
  if (run_shell("command -v shellcheck").exit_code != 0) GTEST_SKIP() << "no shellcheck here";
  std::string words;
  for (const std::string& script : all_scripts()) words += " '" + script + "'";
  const Outcome outcome = run_shell("shellcheck" + words);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
}

// A run that was stopped by TERM after a few of its many steps.
class StoppedRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory = std::make_unique<TemporaryDirectory>();
    write_text(path("text.txt"), synthetic_text(300, 40));
    write_text(
        path("run.textproto"),
        "model { d_model: 32 d_ff: 64 d_kv: 16 num_heads: 2 num_layers: 2 } moe { num_experts: 4 } "
        "parallel { virtual_ranks: 2 } data { input_length: 32 } "
        "train { batch_size: 4 steps: 1000000 eval_interval: 5 eval_samples: 8 }");
    const Outcome prepared = run_program("prepare --lines --vocab-size 400 --input " +
                                         path("text.txt") + " --output " + path("data"));
    ASSERT_EQ(prepared.exit_code, 0) << prepared.output;
    stopped = std::make_unique<Outcome>(
        run_shell(LAUNCH_DIRECTORY "/local.sh -n 2 -t 1 " SWITCHYARD_PROGRAM " train --config " +
                  path("run.textproto") + " --set data.train=" + path("data") + " --output " +
                  path("run") + " & until [ \"$(cat " + path("run/metrics.jsonl") +
                  " 2>/dev/null | wc -l)\" -ge 12 ]; do sleep 0.1; done; "
                  "kill -TERM $!; wait $!"));
  }
  static void TearDownTestSuite() {
    stopped.reset();
    directory.reset();
  }
  static std::string path(const std::string& name) { return directory->path() + "/" + name; }

  static std::unique_ptr<TemporaryDirectory> directory;
  static std::unique_ptr<Outcome> stopped;
};

std::unique_ptr<TemporaryDirectory> StoppedRun::directory;
std::unique_ptr<Outcome> StoppedRun::stopped;

TEST_F(StoppedRun, HasSavedItsLastStepAndSaysHowToGoOn) {
  EXPECT_EQ(stopped->exit_code, 75) << stopped->output;
  EXPECT_THAT(stopped->output, AllOf(HasSubstr("stopped after step"), HasSubstr("go on with: ")));
  const auto steps = read_metrics(path("run")).size();
  const Outcome inspected = run_program("inspect " + path("run"));
  EXPECT_EQ(inspected.exit_code, 0) << inspected.output;
  EXPECT_THAT(inspected.output, AllOf(HasSubstr(std::to_string(steps)), HasSubstr("verified")));
}

TEST_F(StoppedRun, IsDrawnAsSvgPngAndPdf) {
  const Outcome drawn = launch("plot.sh " + path("run"));
  ASSERT_EQ(drawn.exit_code, 0) << drawn.output;
  for (const char* picture : {"loss", "drops", "load-run"}) {
    const std::string svg = read_text(path("run/plots/") + picture + ".svg");
    EXPECT_THAT(svg, HasSubstr("</svg>")) << picture;
    // Text that is drawn, not the description alone.
    EXPECT_THAT(svg, testing::ContainsRegex("<text>[^<]*one run, one seed, [0-9]+ steps</text>"))
        << picture;
    EXPECT_EQ(read_text(path("run/plots/") + picture + ".png").substr(1, 3), "PNG") << picture;
    EXPECT_EQ(read_text(path("run/plots/") + picture + ".pdf").substr(0, 4), "%PDF") << picture;
  }
}

TEST_F(StoppedRun, IsKeptApartFromARunOfTheSameName) {
  for (const char* folder : {"a", "b"}) {
    fs::create_directories(path(folder) + "/run");
    fs::copy_file(path("run/metrics.jsonl"), path(folder) + "/run/metrics.jsonl");
  }
  const Outcome drawn =
      launch("plot.sh --format svg -o " + path("both") + " " + path("a/run") + " " + path("b/run"));
  ASSERT_EQ(drawn.exit_code, 0) << drawn.output;
  EXPECT_TRUE(fs::exists(path("both/load-a-run.svg")) && fs::exists(path("both/load-b-run.svg")));
  EXPECT_FALSE(fs::exists(path("both/loss.pdf")));
  const std::string loss = read_text(path("both/loss.svg"));
  EXPECT_THAT(loss, AllOf(HasSubstr("a/run, training"), HasSubstr("b/run, training")));
}

TEST_F(StoppedRun, IsDrawnUnderAnyName) {
  const struct {
    std::string name, title;
  } names[] = {{"it's", "it's"}, {"a|b", "a|b"},
               {"a\\b", "a\\b"}, {"a & <b>", "a &amp; &lt;b&gt;"},
               {"a\nb", "a b"},  {"-x $HOME", "-x $HOME"}};
  for (const auto& [name, title] : names) {
    const std::string run = path("names/" + name);
    fs::create_directories(run);
    fs::copy_file(path("run/metrics.jsonl"), run + "/metrics.jsonl");
    write_text(path("name"), run);
    const Outcome drawn = launch("plot.sh \"$(cat " + path("name") + ")\"");
    EXPECT_EQ(drawn.exit_code, 0) << drawn.output;
    const std::string load = read_text(run + "/plots/load-" + name + ".svg");
    EXPECT_NE(load.find("<title>load-" + title + "</title>"), load.npos) << title;
    // gnuplot does not escape ">".
    const std::string loss = read_text(run + "/plots/loss.svg");
    const std::string label = std::regex_replace(title, std::regex("&gt;"), ">") + ", training<";
    EXPECT_NE(loss.find(label), loss.npos) << label;
  }
}

// As for a run in progress: most of its steps are still to come. Runs in a directory where mistakes
// of a script would leave files.
TEST_F(StoppedRun, IsWatchedByEachAwkAndLeavesNoFile) {
  fs::create_directories(path("here"));
  for (const char* awk : {"mawk", "gawk", "original-awk", "busybox"}) {
    const Outcome found = run_shell(std::string("command -v ") + awk);
    if (found.exit_code != 0) continue;
    fs::create_directories(path(awk));
    write_text(path(std::string(awk) + "/awk"), std::string("#!/bin/sh\nexec ") + awk +
                                                    (std::string(awk) == "busybox" ? " awk" : "") +
                                                    " \"$@\"\n");
    fs::permissions(path(std::string(awk) + "/awk"), fs::perms::owner_all);
    const Outcome outcome = run_shell("cd " + path("here") + "; PATH=" + path(awk) +
                                      ":$PATH " LAUNCH_DIRECTORY "/watch.sh --once " + path("run"));
    EXPECT_EQ(outcome.exit_code, 0) << awk << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr(" of 1000000, "), HasSubstr(" left; last step "),
                                      HasSubstr("encoder.block.1")))
        << awk;
  }
  EXPECT_TRUE(fs::is_empty(path("here")));
}

// Records of very many experts list their tokens now and then (train.routing_log_interval).
TEST_F(StoppedRun, IsShownWhereNotEachRecordHasTheTokensOfItsExperts) {
  const std::string tokens = "\"moe/tokens_per_expert\"";
  std::string some, none;
  std::int64_t steps = 0, last_with_tokens = 1;
  for (const nlohmann::json& record : read_metrics(path("run"))) {
    steps = record["step"];
    if (steps % 3 == 0 && steps < 20) last_with_tokens = steps;
    nlohmann::json without = record;
    without.erase("moe/tokens_per_expert");
    some += (steps == 1 || (steps % 3 == 0 && steps < 20) ? record : without).dump() + "\n";
    none += without.dump() + "\n";
  }
  ASSERT_GT(steps, 3);
  ASSERT_NE(some.find(tokens), std::string::npos);
  ASSERT_EQ(none.find(tokens), std::string::npos);
  for (const auto& [name, metrics] : {std::pair("some", some), {"none", none}}) {
    const std::string run = path(name);
    fs::create_directories(run);
    fs::copy_file(path("run/config.textproto"), run + "/config.textproto");
    write_text(run + "/metrics.jsonl", metrics);
    const bool has_tokens = metrics == some;
    const Outcome shown = launch("watch.sh --once " + run);
    EXPECT_EQ(shown.exit_code, 0) << shown.output;
    EXPECT_THAT(shown.output, HasSubstr("busiest expert"));
    const std::string heading =
        "tokens per expert in step " + std::to_string(last_with_tokens) + ", ";
    EXPECT_EQ(shown.output.find(heading) != std::string::npos, has_tokens) << shown.output;
    EXPECT_EQ(shown.output.find("tokens per expert") != std::string::npos, has_tokens);
    const Outcome drawn = launch("plot.sh --format svg " + run);
    EXPECT_EQ(drawn.exit_code, 0) << drawn.output;
    EXPECT_TRUE(fs::exists(run + "/plots/drops.svg"));
    EXPECT_EQ(fs::exists(run + "/plots/load-" + name + ".svg"), has_tokens);
  }
}

// Each terminal has a tmux server of its own: one that is being killed still accepts connections.
// The screen that was waited for is the one that is judged: the next may be half drawn.
TEST_F(StoppedRun, IsWatchedInTmux) {
  if (run_shell("command -v tmux").exit_code != 0) GTEST_SKIP() << "no tmux here";
  for (const std::string terminal : {"screen", "tmux-256color", "dumb", "nothing-known"}) {
    const std::string tmux = "TMUX_TMPDIR=" + path("") + " tmux -f /dev/null -L " + terminal + " ";
    const std::string code = path("code-" + terminal), screen = path("screen-" + terminal);
    write_text(path("watch.sh"), "TERM=" + terminal + " " LAUNCH_DIRECTORY "/watch.sh " +
                                     path("run") + "; echo $? >" + code + "; sleep 60");
    const Outcome shown =
        run_shell(tmux + "new-session -d -x 80 -y 24 'bash " + path("watch.sh") + "'; " +
                  "for i in $(seq 600); do " + tmux + "capture-pane -p >" + screen + "; " +
                  "grep -q 'of 1000000, ' " + screen + " && grep -q 'q quits' " + screen +
                  " && break; " + "sleep 0.1; done; cat " + screen + "; " + tmux + "send-keys q; " +
                  "for i in $(seq 600); do [ -s " + code + " ] && break; sleep 0.1; done; " + tmux +
                  "kill-server");
    EXPECT_THAT(shown.output, AllOf(HasSubstr("of 1000000, "), HasSubstr("q quits"))) << terminal;
    EXPECT_EQ(read_text(code), "0\n") << terminal << shown.output;
  }
}

TEST_F(StoppedRun, LooksTheSameWhereNumbersHaveCommas) {
  const std::string locale = "LOCPATH=" + path("locales") + " LC_ALL=de_DE.UTF-8 ";
  fs::create_directories(path("locales"));
  if (run_shell("localedef -i de_DE -f UTF-8 " + path("locales/de_DE.UTF-8")).exit_code != 0)
    GTEST_SKIP() << "no sources of locales here";
  const std::string scripts = LAUNCH_DIRECTORY "/";
  for (const std::string& set : {std::string(), locale}) {
    const std::string output = path(set.empty() ? "points" : "commas");
    EXPECT_EQ(run_shell(set + scripts + "plot.sh -o " + output + " " + path("run")).exit_code, 0);
    const Outcome shown = run_shell(set + scripts + "watch.sh --once " + path("run"));
    EXPECT_EQ(shown.exit_code, 0) << shown.output;
    EXPECT_EQ(shown.output.find("loss 0.0000"), std::string::npos);
    EXPECT_THAT(shown.output, testing::ContainsRegex("loss [0-9]+\\.[0-9]{4} "));
  }
  for (const char* picture : {"/loss.svg", "/drops.svg", "/load-run.svg"})
    EXPECT_EQ(read_text(path("points") + picture), read_text(path("commas") + picture)) << picture;
}

TEST_F(StoppedRun, IsNotDrawnWhereNothingCanBeWritten) {
  for (const char* command : {"plot.sh ", "watch.sh --once "}) {
    const Outcome outcome =
        run_shell("TMPDIR=/nowhere/at/all " LAUNCH_DIRECTORY "/" + (command + path("run")));
    EXPECT_EQ(outcome.exit_code, 73) << command;
    EXPECT_THAT(outcome.output, HasSubstr("sh: TMPDIR is '/nowhere/at/all', where ")) << command;
  }
}

TEST(Quickstart, ShowsWhatItSaysAndASecondRunStartsFromWhatIsThere) {
  const TemporaryDirectory directory;
  const std::string command =
      "quickstart.sh --steps 30 --output " + directory.path() + "/quickstart";
  const Outcome first = launch(command);
  ASSERT_EQ(first.exit_code, 0) << first.output;
  for (const char* phrase :
       {"In the beginning God created", "process 1", "experts 4-7", "untrained", "unigram",
        "\ntrained ", "after 30 steps", "passage 1", "validation loss", "pictures in", "tiny_dense",
        "moe.num_experts=32"}) {
    EXPECT_THAT(first.output, HasSubstr(phrase));
  }
  // The hashes after 20 steps on 1 and on 2 processes.
  const auto one = first.output.find("  1 process "), two = first.output.find("  2 processes");
  ASSERT_TRUE(one != std::string::npos && two != std::string::npos) << first.output;
  const auto hash = [&](std::size_t at) {
    return first.output.substr(first.output.find_first_of("0123456789abcdef", at + 14), 64);
  };
  EXPECT_EQ(hash(one), hash(two)) << first.output;

  const Outcome second = launch(command);
  ASSERT_EQ(second.exit_code, 0) << second.output;
  EXPECT_THAT(second.output,
              AllOf(HasSubstr("data is there already"), HasSubstr("nothing left to do")));
}

}  // namespace
}  // namespace switchyard::test
