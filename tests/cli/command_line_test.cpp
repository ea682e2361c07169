#include "cli/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "comm/job.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

using Strings = std::vector<std::string>;
using testing::AllOf;
using testing::HasSubstr;

TEST(CommandLine, QuotesOnlyWhatAShellWouldTakeApart) {
  EXPECT_EQ(shell_text(Strings{"train", "--set", "train.steps=3", "--output", "runs/a"}),
            "train --set train.steps=3 --output runs/a");
  EXPECT_EQ(shell_text(Strings{"--input", "books/*.txt"}), "--input 'books/*.txt'");
}

TEST(CommandLine, ReadsBackAsTheSameWords) {
  const Strings words = {"", " ", "my run", "it's", "$HOME", "a\\b", "*", "\"", "~", "a;b", "é"};
  std::string expected;
  for (const std::string& word : words) expected += "<" + word + ">";
  EXPECT_EQ(test::run_shell("printf '<%s>' " + shell_text(words)).output, expected);
}

// launch/local.sh would not start this test program by default, so the command line has to name it.
TEST(CommandLine, NamesAProgramThatALauncherWouldNotFind) {
  const std::string line = local_command_line(2, 1, Strings{"train"});
  EXPECT_NE(line.find("launch/local.sh -n 2 -t 1 "), std::string::npos) << line;
  EXPECT_NE(line.find("cli_test train"), std::string::npos) << line;
}

TEST(CommandLine, OfAJobOnOneHostIsLocalAndOfOneProcessTheProgram) {
  const std::vector<HostShare> two = {{"n1", 2}}, one = {{"n1", 1}};
  const Strings words = {"train", "--output", "runs/a"};
  EXPECT_EQ(job_command_line({.hosts = two, .threads = 3}, words), local_command_line(2, 3, words));
  EXPECT_EQ(job_command_line({.hosts = one, .threads = 3}, words), program_command_line(words));
}

TEST(CommandLine, OfAJobOnSeveralHostsNamesThemWithTheirProcesses) {
  const std::vector<HostShare> hosts = {{"n2", 2}, {"n1", 2}, {"n3", 1}};
  const Strings words = {"train", "--output", "my run"};
  const std::string bound = job_command_line({.hosts = hosts, .threads = 4, .bound = true}, words);
  EXPECT_TRUE(bound.starts_with("OMP_NUM_THREADS=4 mpirun ")) << bound;
  EXPECT_THAT(bound, AllOf(HasSubstr(" -n 5 "), HasSubstr("cli_test train --output 'my run'")));
  const std::string free = job_command_line({.hosts = hosts, .threads = 4}, words);
  EXPECT_THAT(free, HasSubstr("-bind-to none "));
  if (mpi_family() == MpiFamily::open_mpi) {
    EXPECT_THAT(bound,
                AllOf(HasSubstr(" --host n2:2,n1:2,n3:1 "), HasSubstr(" -x OMP_NUM_THREADS "),
                      HasSubstr(" --map-by slot:PE=4 --bind-to core ")));
  } else {
    EXPECT_THAT(bound, AllOf(HasSubstr(" -hosts n2:2,n1:2,n3:1 "), HasSubstr(" -bind-to core:4 ")));
  }
}

TEST(CommandLine, OfAJobThatAScriptHasPlacedIsTheScripts) {
  const std::vector<HostShare> hosts = {{"n1", 2}, {"n2", 2}};
  const std::string line =
      job_command_line({.hosts = hosts, .launcher = "launch/cluster.sh --hosts 'my hosts' -t 2"},
                       Strings{"train", "--output", "my run"});
  EXPECT_TRUE(line.starts_with("launch/cluster.sh --hosts 'my hosts' -t 2 ")) << line;
  EXPECT_TRUE(line.ends_with(" train --output 'my run'")) << line;
}

// Two names of this host count as two hosts in the command line. (Open MPI 6.0 rc 2 cannot do
// that.)
TEST(CommandLine, OfAJobOnSeveralHostsRunsAsItStands) {
  if (mpi_family() == MpiFamily::open_mpi &&
      test::run_shell("mpirun --allow-run-as-root --host localhost,127.0.0.1 -n 2 true").exit_code)
    GTEST_SKIP() << "this mpirun does not take two names of one host";
  const std::vector<HostShare> hosts = {{"localhost", 2}, {"127.0.0.1", 1}};
  const std::string line = job_command_line({.hosts = hosts}, Strings{"--gtest_list_tests"});
  const test::Outcome outcome = test::run_shell(line);
  EXPECT_EQ(outcome.exit_code, 0) << line << "\n" << outcome.output;
}

}  // namespace
}  // namespace switchyard
