// The launch scripts, as a user runs them: what local.sh passes on, how it stops a run, what
// plot.sh draws, and the quickstart from end to end, cut to a few steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "support/program.hpp"
#include "support/synthetic_text.hpp"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Outcome launch(const std::string& command) { return run_shell(LAUNCH_DIRECTORY "/" + command); }

TEST(LocalScript, PrintsItsMpirunLineAndPassesTheExitCodeOn) {
  const Outcome outcome = launch("local.sh -n 2 -t 1 /bin/sh -c 'exit 66'");
  EXPECT_EQ(outcome.exit_code, 66);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("mpirun -n 2"), HasSubstr("OMP_NUM_THREADS=1")));
}

TEST(LocalScript, WarnsOfMoreThreadsThanCoresAndRunsAllTheSame) {
  const Outcome outcome = launch("local.sh -n 2 -t 999 /bin/true");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("take turns"), HasSubstr("--oversubscribe")));
}

TEST(LocalScript, CountsTheCoresWhateverOmpNumThreadsSays) {
  const std::string command = LAUNCH_DIRECTORY "/local.sh -n 2 -t 1 /bin/true";
  EXPECT_EQ(run_shell("OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 " + command).output,
            run_shell("unset OMP_NUM_THREADS; " + command).output);
}

TEST(LocalScript, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(launch("local.sh").exit_code, 64);
  EXPECT_EQ(launch("local.sh -n many train").exit_code, 64);
  EXPECT_EQ(launch("install_dependencies.sh --nonsense").exit_code, 64);
  EXPECT_EQ(launch("quickstart.sh --nonsense").exit_code, 64);
  EXPECT_EQ(launch("plot.sh").exit_code, 64);
  EXPECT_EQ(launch("plot.sh /nowhere").exit_code, 66);
}

// A run that a TERM stopped after a few of its many steps.
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

TEST_F(StoppedRun, IsDrawnAsSvgAndPng) {
  const Outcome drawn = launch("plot.sh " + path("run"));
  ASSERT_EQ(drawn.exit_code, 0) << drawn.output;
  for (const char* picture : {"loss", "drops", "load-run"}) {
    EXPECT_THAT(read_text(path("run/plots/") + picture + ".svg"), HasSubstr("</svg>")) << picture;
    EXPECT_EQ(read_text(path("run/plots/") + picture + ".png").substr(1, 3), "PNG") << picture;
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
  // The hashes of 20 steps on 1 and on 2 processes.
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
