// The program as a user sees it: its output and its exit codes.
#include "support/program.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/host.hpp"
#include "cli/command.hpp"
#include "config/option_fields.hpp"
#include "run.pb.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using test::Outcome;

Outcome program(const std::string& arguments, const std::string& environment = "") {
  return test::run_shell(environment + " " SWITCHYARD_PROGRAM " " + arguments);
}

Outcome three(const std::string& command) {
  return test::run_shell(test::mpirun(1, 60) + "-n 3 " + command);
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

TEST(Program, WithoutACommandPrintsHelpAnd64) {
  const Outcome outcome = program("");
  EXPECT_EQ(outcome.exit_code, 64);
  EXPECT_EQ(outcome.output, program_help());
}

TEST(Program, HelpListsEveryCommand) {
  for (const char* line : {"help", "--help", "-h"}) {
    const Outcome outcome = program(line);
    EXPECT_EQ(outcome.exit_code, 0);
    for (const Command& command : commands()) {
      EXPECT_THAT(outcome.output, AllOf(HasSubstr(command.name), HasSubstr(command.summary)));
    }
  }
}

TEST(Program, EveryCommandHasHelpWithAnExampleOfItself) {
  for (const Command& command : commands()) {
    const std::string name = command.name;
    const Outcome outcome = program(name + " --help");
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.output, program("help " + name).output);
    const std::size_t example = outcome.output.find("example");
    ASSERT_NE(example, std::string::npos) << name;
    EXPECT_THAT(outcome.output.substr(example), HasSubstr(name));
  }
}

// Help texts kept apart from the parser drift from it: every option in a help text must exist.
TEST(Program, KnowsEveryOptionThatItsHelpNames) {
  const std::regex option("--[a-z][a-z-]*");
  for (const Command& command : commands()) {
    const std::string help = command.help;
    for (std::sregex_iterator at(help.begin(), help.end(), option), end; at != end; ++at) {
      if (at->str() == "--help") continue;
      const Outcome outcome = program(std::string(command.name) + " " + at->str());
      EXPECT_THAT(outcome.output, Not(HasSubstr("there is no option")))
          << command.name << at->str();
    }
  }
}

TEST(Program, VersionTellsWhatItWasBuiltFrom) {
  const Outcome outcome = program("--version");
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* name :
       {"switchyard ", "commit ", "build type ", "MPI ", "oneDNN ", "instruction set "}) {
    EXPECT_TRUE(std::regex_search(outcome.output, std::regex(std::string(name) + " +[^ \n]")))
        << name;
  }
}

TEST(Program, ResultsThatFindNoRoomAre74) {
  for (const char* arguments : {"help", "options"}) {
    const Outcome outcome = program(std::string(arguments) + " >/dev/full");
    EXPECT_EQ(outcome.exit_code, 74) << arguments;
    EXPECT_THAT(outcome.output, HasSubstr("cannot write to the standard output"));
    EXPECT_EQ(program(std::string(arguments) + " >&-").exit_code, 0) << "nobody wants them";
    EXPECT_EQ(test::run_shell("{ sleep 0.2; " SWITCHYARD_PROGRAM " " + std::string(arguments) +
                              "; echo code $? >&2; } | true")
                  .output,
              "code 0\n")
        << "nobody wants them any more";
  }
}

TEST(Program, AMisspeltCommandOrOptionIs64WithTheNearestName) {
  const Outcome command = program("optoins");
  EXPECT_EQ(command.exit_code, 64);
  EXPECT_THAT(command.output, AllOf(HasSubstr("optoins"), HasSubstr("did you mean options?")));
  EXPECT_EQ(program("help optoins").exit_code, 64);
  EXPECT_EQ(program("frobnicate").exit_code, 64);
  const Outcome option = program("options --blokc model");
  EXPECT_EQ(option.exit_code, 64);
  EXPECT_THAT(option.output, AllOf(HasSubstr("--blokc"), HasSubstr("did you mean --block?")));
  EXPECT_EQ(program("options --blo model").exit_code, 64) << "abbreviations are not guessed";
  const Outcome block = program("options modle");
  EXPECT_EQ(block.exit_code, 64);
  EXPECT_THAT(block.output, HasSubstr("did you mean model?"));
}

TEST(Program, OptionsPrintsEveryOptionWithItsDefaultAndItsComment) {
  const Outcome outcome = program("options");
  EXPECT_EQ(outcome.exit_code, 0);
  std::istringstream lines(outcome.output);
  std::set<std::string> undocumented, seen;
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("      ")) undocumented.erase(last);
    if (!line.starts_with("  ") || line.starts_with("   ")) continue;
    last = line.substr(2, line.find("  ", 2) - 2);
    seen.insert(last);
    undocumented.insert(last);
    EXPECT_THAT(line, HasSubstr("default"));
  }
  EXPECT_TRUE(undocumented.empty()) << *undocumented.begin() << " has no comment in run.proto";
  for (const OptionField& option : option_fields(*RunConfig::descriptor())) {
    EXPECT_EQ(seen.count(option.path), 1u) << option.path;
  }
}

TEST(Program, OptionsOfABlockAreThoseAlone) {
  const std::string out = program("options moe").output;
  EXPECT_THAT(out,
              AllOf(StartsWith("moe: The mixture of experts."), HasSubstr("moe.num_experts"),
                    HasSubstr("default 1.25; fixed in a run"), Not(HasSubstr("model.d_model"))));
}

// As one of several tasks, each of which would mistake itself for the whole job.
TEST(Program, AParallelCommandInATaskOfAnotherLauncherIs78) {
  for (const std::string task :
       {"SLURM_STEP_NUM_TASKS=2 SLURM_STEP_ID=0 SLURM_PROCID=1", "PMI_SIZE=2"}) {
    for (const Command& command : commands()) {
      const Outcome outcome = program(command.name, task);
      const bool refused = outcome.exit_code == 78;
      EXPECT_EQ(refused, command.processes == Processes::all) << command.name << outcome.output;
      if (!refused) continue;
      EXPECT_THAT(outcome.output, HasSubstr(task.substr(0, task.find('='))));
    }
  }
}

TEST(Program, EveryCommandRunsInAnAllocationOfManyTasks) {
  const std::string script = "SLURM_JOB_ID=1 SLURM_NTASKS=4 SLURM_NPROCS=4 SLURM_PROCID=0";
  EXPECT_EQ(program("options moe", script).exit_code, 0);
  for (const Command& command : commands())
    EXPECT_NE(program(command.name, script).exit_code, 78) << command.name;
}

TEST(Program, ACommandForOneProcessRefusesMore) {
  for (const Command& command : commands()) {
    if (command.processes != Processes::one) continue;
    const Outcome outcome = three(std::string(SWITCHYARD_PROGRAM " ") + command.name);
    EXPECT_EQ(outcome.exit_code, 64);
    EXPECT_EQ(count(outcome.output, " runs as one process, not 3\n  hint: start it without mpirun"),
              1)
        << outcome.output;
  }
}

TEST(Program, SaysWhereItsOutputCouldNotBeWritten) {
  for (const std::string words : {"options", "help", "--version", "describe --config tiny"}) {
    const Outcome outcome = program(words + " >/dev/full");
    EXPECT_EQ(outcome.exit_code, 74) << words;
    EXPECT_THAT(outcome.output,
                AllOf(HasSubstr("cannot write to the standard output"), HasSubstr("hint: ")));
  }
  EXPECT_EQ(program("options >&-").exit_code, 0);
}

TEST(Program, MoreThreadsThanCoresIsAWarningWithALineThatFits) {
  const std::string threads =
      "OMP_NUM_THREADS=" + std::to_string(sysconf(_SC_NPROCESSORS_ONLN) + 3);
  EXPECT_THAT(program("train --output unused", threads).output,
              AllOf(HasSubstr("warning: "), HasSubstr("launch/local.sh -n 1 -t ")));
  EXPECT_THAT(program("options moe", threads).output, Not(HasSubstr("warning: ")));
}

// A copy of the program in a directory of its own, with some of the shipped files beside it.
class CopiedProgram : public testing::Test {
 protected:
  CopiedProgram() {
    std::string name = fs::temp_directory_path() / "switchyard-copy-XXXXXX";
    place_ = mkdtemp(name.data());
    fs::permissions(place_, fs::perms(0755));
    fs::create_directories(place_ / "build/release");
    fs::copy(SWITCHYARD_PROGRAM, copy());
  }
  ~CopiedProgram() { fs::remove_all(place_); }

  fs::path copy() const { return place_ / "build/release/switchyard"; }
  Outcome run(const std::string& words) {
    return test::run_shell("cd /; " + copy().string() + " " + words);
  }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories((place_ / path).parent_path());
    std::ofstream(place_ / path) << text;
  }

  fs::path place_;
};

TEST_F(CopiedProgram, KnowsTheConfigurationsThatShip) {
  // All of it but what the host has left, which changes all the time.
  const auto described = [](const Outcome& outcome) {
    return std::regex_replace(outcome.output, std::regex("this host has [^\n]*"), "");
  };
  EXPECT_EQ(described(run("describe --config tiny")), described(program("describe --config tiny")));
  const Outcome unknown = run("describe --config tinny");
  EXPECT_EQ(unknown.exit_code, 66);
  EXPECT_THAT(unknown.output,
              AllOf(HasSubstr("did you mean tiny? shipped are: base_128, "), HasSubstr("xxl")));
}

// MPI would need all of them. Root could write to "/", but must not.
TEST_F(CopiedProgram, NeedsNeitherTemporaryDirectoryNorHomeNorNameOfTheUser) {
  const std::string bare = "env -i TMPDIR=/switchyard-nowhere " + copy().string() + " options moe";
  const std::string nobody = "setpriv --reuid=54321 --regid=54321 --clear-groups ";
  for (const std::string& user : {std::string(), getuid() == 0 ? nobody : std::string()}) {
    const Outcome outcome = test::run_shell(user + bare);
    EXPECT_EQ(outcome.exit_code, 0) << user << outcome.output;
    EXPECT_THAT(outcome.output, StartsWith("moe: "));
    EXPECT_NE(access("/switchyard-nowhere", F_OK), 0) << "it made the directory";
  }
}

// Only MPI needs one, and only under a launcher other than mpirun, which creates it in advance.
TEST_F(CopiedProgram, TakesTheCommonDirectoryWhereMpiCannotHaveTheUsers) {
  const Outcome outcome =
      test::run_shell("PMI_RANK=0 TMPDIR=/switchyard-nowhere " + copy().string() + " options moe");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("warning: TMPDIR is /switchyard-nowhere, which is not a"));
  EXPECT_NE(access("/switchyard-nowhere", F_OK), 0) << "it made the directory";
}

TEST_F(CopiedProgram, PrefersTheFilesBesideIt) {
  for (const std::string beside :
       {"configs", "build/share/switchyard/configs", "build/release/configs"}) {
    put(beside + "/tiny.textproto", "train { batch_size: 3 }");
    put(beside + "/mine.textproto", "train { batch_size: 3 }");
    for (const std::string config : {"tiny", "mine"})
      EXPECT_EQ(run("describe --config " + config).exit_code, 64) << beside << config;
    EXPECT_EQ(run("describe --config tiny_dense").exit_code, 0);
    fs::remove_all(place_ / beside);
  }
}

TEST_F(CopiedProgram, AdvisesNoScriptThatIsNotThere) {
  const std::string crowded = "train --output unused", many = "OMP_NUM_THREADS=1000 ";
  const auto advice = [&] {
    return test::run_shell(many + copy().string() + " " + crowded).output;
  };
  const std::string cores = std::to_string(sysconf(_SC_NPROCESSORS_ONLN));
  EXPECT_THAT(advice(), AllOf(HasSubstr("better: OMP_NUM_THREADS=" + cores + " " + copy().string()),
                              Not(HasSubstr("local.sh"))));
  EXPECT_THAT(
      run("help train").output,
      AllOf(HasSubstr("mpirun -n 2 switchyard train --config tiny"), Not(HasSubstr("local.sh"))));
  put("launch/local.sh", "");
  EXPECT_THAT(advice(), HasSubstr("better: " + (place_ / "launch/local.sh").string() + " -n 1 "));
}

Outcome job_failing(const std::string& how) { return three(FAILING_PROGRAM " " + how); }

TEST(Job, AFailureThatAllShareIsPrintedOnceAndCarriesItsCode) {
  const Outcome outcome = job_failing("alike");
  EXPECT_EQ(outcome.exit_code, 66);
  EXPECT_THAT(outcome.output, StartsWith("switchyard: nobody has it\n  hint: bring it\n"));
  EXPECT_EQ(count(outcome.output, "nobody has it"), 1);
}

TEST(Job, AFailureOfOneEndsTheOthersWithItsReasonFirst) {
  const Outcome outcome = job_failing("alone");
  EXPECT_EQ(outcome.exit_code, 74);
  EXPECT_THAT(outcome.output, StartsWith("[rank 2/3 "));
  EXPECT_EQ(count(outcome.output, "my disk is gone"), 1);
}

// Only a killed mpirun does not end them itself.
TEST(Job, EndsWithItsMpirun) {
  const Outcome outcome = test::run_shell(
      "out=$(mktemp); " + test::alone() +
      " setsid " MPIRUN " -n 2 " FAILING_PROGRAM
      " never >$out & mpirun=$!; until [ \"$(wc -l <$out)\" = 2 ]; do sleep 0.1; done; "
      "kill -KILL $mpirun; sleep 3; for p in $(cat $out); do "
      "[ -z \"$(tr -d '\\0' </proc/$p/cmdline 2>/dev/null)\" ] || echo $p is still there; done; rm "
      "$out");
  EXPECT_THAT(outcome.output, Not(HasSubstr("still there")));
}

TEST(Job, AnMpiWithoutThreadsIsRefused) {
  const Outcome outcome = three(FAILING_PROGRAM " without_threads");
  EXPECT_EQ(outcome.exit_code, 69);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("does not allow threads"), HasSubstr("hint: ")));
}

TEST(Job, FailuresThatDifferAreAllPrinted) {
  const Outcome outcome = job_failing("differently");
  EXPECT_EQ(outcome.exit_code, 74);
  for (const char* line : {"] disk 0", "] disk 1", "] disk 2"})
    EXPECT_EQ(count(outcome.output, line), 1);
}

TEST(Job, AUsersMistakeIsPrintedOnceAndItsCodeComesThroughMpirun) {
  const Outcome outcome = three(SWITCHYARD_PROGRAM " optoins");
  EXPECT_EQ(outcome.exit_code, 64);
  EXPECT_EQ(count(outcome.output, "there is no command 'optoins'"), 1);
}

Outcome two(const std::string& first, const std::string& second) {
  return test::run_shell(test::mpirun_by_rank({first, second}, 60));
}

TEST(Job, OfUnlikeProcessesSaysWhichDifferAndInWhat) {
  const std::string options = SWITCHYARD_PROGRAM " options moe", host = host_name();
  const Outcome words = two(options, SWITCHYARD_PROGRAM " options model");
  EXPECT_EQ(words.exit_code, 78);
  EXPECT_THAT(words.output, HasSubstr("disagree on the command line: rank 0 on " + host +
                                      " has \"options moe\", rank 1 on " + host +
                                      " has \"options model\"\n  hint: give every process"));
  const Outcome machines = two(options, "env ONEDNN_MAX_CPU_ISA=SSE41 " + options);
  EXPECT_EQ(machines.exit_code, 78);
  EXPECT_THAT(machines.output, AllOf(HasSubstr("disagree on the instruction set: "),
                                     HasSubstr(" has \"SSE41\""), HasSubstr("ONEDNN_MAX_CPU_ISA")));
}

TEST(Job, OfUnlikeConfigurationsSaysWhichOptionDiffers) {
  std::string place = fs::temp_directory_path() / "switchyard-job-XXXXXX";
  ASSERT_NE(mkdtemp(place.data()), nullptr);
  for (const std::string host : {"a", "b"}) {  // each host reads its own disk
    fs::create_directory(place + "/" + host);
    std::ofstream(place + "/" + host + "/c") << "train { steps: " << (host == "a" ? 3 : 4) << " }";
  }
  const std::string train = SWITCHYARD_PROGRAM " train --config c --set data.train=/d --output r";
  const Outcome outcome =
      two("cd " + place + "/a && exec " + train, "cd " + place + "/b && exec " + train);
  EXPECT_EQ(outcome.exit_code, 78);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("from rank 0 on " + host_name() + " to rank 1 on "),
                                    HasSubstr("train.steps: 3 -> 4\n  hint: ")));
  fs::remove_all(place);
}

// The words that completion offers after these words.
std::set<std::string> offered(const std::string& words, int position) {
  const Outcome outcome =
      test::run_shell("bash -c 'source " COMPLETION "; COMP_WORDS=(" SWITCHYARD_PROGRAM " " +
                      words + "); COMP_CWORD=" + std::to_string(position) +
                      "; _switchyard; printf \"%s\\n\" \"${COMPREPLY[@]}\"'");
  std::istringstream lines(outcome.output);
  std::set<std::string> found;
  for (std::string line; std::getline(lines, line);) found.insert(line);
  return found;
}

TEST(Completion, OffersTheCommandsOfTheTable) {
  std::set<std::string> expected = {"help"};
  for (const Command& command : commands()) expected.insert(command.name);
  EXPECT_EQ(offered("\"\"", 1), expected);
}

TEST(Completion, OffersTheOptionsThatACommandsHelpNames) {
  const std::regex option("--[a-z][a-z-]*");
  for (const Command& command : commands()) {
    const std::string help = command.help;
    const std::set<std::string> found = offered(std::string(command.name) + " --", 2);
    for (std::sregex_iterator at(help.begin(), help.end(), option), end; at != end; ++at) {
      EXPECT_EQ(found.count(at->str()), 1u) << command.name << " " << at->str();
    }
  }
}

TEST(Completion, OffersTheOptionsOfARunAfterSet) {
  EXPECT_EQ(offered("train --set model.num_h", 3), std::set<std::string>{"model.num_heads"});
}

}  // namespace
}  // namespace switchyard
