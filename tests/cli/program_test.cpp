// The program as a user meets it: what it prints, and the code it exits with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/option_fields.hpp"
#include "run.pb.h"

namespace switchyard {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Outcome {
  int code;
  std::string out;  // stdout and stderr
};

Outcome shell(const std::string& line) {
  Outcome outcome{-1, ""};
  FILE* pipe = popen(("exec 2>&1; " + line).c_str(), "r");
  std::array<char, 4096> piece;
  while (const std::size_t size = fread(piece.data(), 1, piece.size(), pipe)) {
    outcome.out.append(piece.data(), size);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

Outcome program(const std::string& arguments, const std::string& environment = "") {
  return shell(environment + " " SWITCHYARD_PROGRAM " " + arguments);
}

Outcome mpirun(const std::string& command) {
  return shell(
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 "
      "OMPI_MCA_btl_vader_single_copy_mechanism=none OMP_NUM_THREADS=1 " MPIEXEC
      " --oversubscribe --bind-to none --timeout 60 -n 3 " +
      command);
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

TEST(Program, WithoutACommandPrintsHelpAnd64) {
  const Outcome outcome = program("");
  EXPECT_EQ(outcome.code, 64);
  EXPECT_EQ(outcome.out, program_help());
}

TEST(Program, HelpListsEveryCommand) {
  for (const char* line : {"help", "--help", "-h"}) {
    const Outcome outcome = program(line);
    EXPECT_EQ(outcome.code, 0);
    for (const Command& command : commands()) {
      EXPECT_THAT(outcome.out, AllOf(HasSubstr(command.name), HasSubstr(command.summary)));
    }
  }
}

TEST(Program, EveryCommandHasHelpWithAnExampleOfItself) {
  for (const Command& command : commands()) {
    const std::string name = command.name;
    const Outcome outcome = program(name + " --help");
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, program("help " + name).out);
    const std::size_t example = outcome.out.find("example");
    ASSERT_NE(example, std::string::npos) << name;
    EXPECT_THAT(outcome.out.substr(example), HasSubstr(name));
  }
}

// Help kept apart from the parser drifts: every option that a help text names must be one.
TEST(Program, KnowsEveryOptionThatItsHelpNames) {
  const std::regex option("--[a-z][a-z-]*");
  for (const Command& command : commands()) {
    const std::string help = command.help;
    for (std::sregex_iterator at(help.begin(), help.end(), option), end; at != end; ++at) {
      if (at->str() == "--help") continue;
      const Outcome outcome = program(std::string(command.name) + " " + at->str());
      EXPECT_THAT(outcome.out, Not(HasSubstr("there is no option"))) << command.name << at->str();
    }
  }
}

TEST(Program, VersionTellsWhatItWasBuiltFrom) {
  const Outcome outcome = program("--version");
  EXPECT_EQ(outcome.code, 0);
  for (const char* name :
       {"switchyard ", "commit ", "build type ", "MPI ", "oneDNN ", "instruction set "}) {
    EXPECT_TRUE(std::regex_search(outcome.out, std::regex(std::string(name) + " +[^ \n]"))) << name;
  }
}

TEST(Program, AMisspeltCommandOrOptionIs64WithTheNearestName) {
  const Outcome command = program("optoins");
  EXPECT_EQ(command.code, 64);
  EXPECT_THAT(command.out, AllOf(HasSubstr("optoins"), HasSubstr("did you mean options?")));
  EXPECT_EQ(program("help optoins").code, 64);
  EXPECT_EQ(program("frobnicate").code, 64);
  const Outcome option = program("options --blokc model");
  EXPECT_EQ(option.code, 64);
  EXPECT_THAT(option.out, AllOf(HasSubstr("--blokc"), HasSubstr("did you mean --block?")));
  EXPECT_EQ(program("options --blo model").code, 64) << "abbreviations are not guessed";
  const Outcome block = program("options modle");
  EXPECT_EQ(block.code, 64);
  EXPECT_THAT(block.out, HasSubstr("did you mean model?"));
}

TEST(Program, OptionsPrintsEveryOptionWithItsDefaultAndItsComment) {
  const Outcome outcome = program("options");
  EXPECT_EQ(outcome.code, 0);
  std::istringstream lines(outcome.out);
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
  const std::string out = program("options moe").out;
  EXPECT_THAT(out,
              AllOf(StartsWith("moe: The mixture of experts."), HasSubstr("moe.num_experts"),
                    HasSubstr("default 1.25; fixed in a run"), Not(HasSubstr("model.d_model"))));
}

TEST(Program, AnotherLaunchersPromiseOfProcessesIs78) {
  for (const char* promise : {"SLURM_NTASKS=2", "PMI_SIZE=2"}) {
    const Outcome outcome = program("options", promise);
    EXPECT_EQ(outcome.code, 78) << promise;
    EXPECT_THAT(outcome.out, HasSubstr(std::string(promise).substr(0, 8)));
  }
  EXPECT_EQ(program("options moe", "SLURM_NTASKS=1").code, 0);
}

TEST(Program, MoreThreadsThanCoresIsAWarningWithALineThatFits) {
  const long threads = sysconf(_SC_NPROCESSORS_ONLN) + 3;
  const Outcome outcome = program("options moe", "OMP_NUM_THREADS=" + std::to_string(threads));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("warning: "), HasSubstr("launch/local.sh -n 1 -t ")));
}

Outcome job_failing(const std::string& how) { return mpirun(FAILING_PROGRAM " " + how); }

TEST(Job, AFailureThatAllShareIsPrintedOnceAndCarriesItsCode) {
  const Outcome outcome = job_failing("alike");
  EXPECT_EQ(outcome.code, 66);
  EXPECT_THAT(outcome.out, StartsWith("switchyard: nobody has it\n  hint: bring it\n"));
  EXPECT_EQ(count(outcome.out, "nobody has it"), 1);
}

TEST(Job, AFailureOfOneEndsTheOthersWithItsReasonFirst) {
  const Outcome outcome = job_failing("alone");
  EXPECT_EQ(outcome.code, 74);
  EXPECT_THAT(outcome.out, StartsWith("[rank 2/3 "));
  EXPECT_EQ(count(outcome.out, "my disk is gone"), 1);
}

TEST(Job, FailuresThatDifferAreAllPrinted) {
  const Outcome outcome = job_failing("differently");
  EXPECT_EQ(outcome.code, 74);
  for (const char* line : {"] disk 0", "] disk 1", "] disk 2"})
    EXPECT_EQ(count(outcome.out, line), 1);
}

TEST(Job, AUsersMistakeIsPrintedOnceAndItsCodeComesThroughMpirun) {
  const Outcome outcome = mpirun(SWITCHYARD_PROGRAM " optoins");
  EXPECT_EQ(outcome.code, 64);
  EXPECT_EQ(count(outcome.out, "there is no command 'optoins'"), 1);
}

// What completion offers after these words.
std::set<std::string> offered(const std::string& words, int position) {
  const Outcome outcome =
      shell("bash -c 'source " COMPLETION "; COMP_WORDS=(" SWITCHYARD_PROGRAM " " + words +
            "); COMP_CWORD=" + std::to_string(position) +
            "; _switchyard; printf \"%s\\n\" \"${COMPREPLY[@]}\"'");
  std::istringstream lines(outcome.out);
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
