#include "comm/job.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/host.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using Said = std::map<std::string, std::string>;

// Sets the environment variables of launchers to exactly these, until it is destroyed.
class LauncherEnvironment {
 public:
  explicit LauncherEnvironment(const Said& said) {
    for (const std::string name :
         {"PMI_SIZE", "PMI_RANK", "PMIX_RANK", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS",
          "SLURM_STEP_ID", "SLURM_PROCID", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}) {
      const char* old = std::getenv(name.c_str());
      old_[name] = old ? std::optional<std::string>(old) : std::nullopt;
      unsetenv(name.c_str());
    }
    for (const auto& [name, value] : said) setenv(name.c_str(), value.c_str(), 1);
  }
  ~LauncherEnvironment() {
    for (const auto& [name, value] : old_)
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::optional<std::string>> old_;
};

std::string promise(const Said& said, int world_size = 1) {
  const LauncherEnvironment environment(said);
  const auto found = foreign_launcher(world_size);
  return found ? found->name + "=" + found->value : "";
}

TEST(ForeignLauncher, IsFoundInATaskOfAStepOfMany) {
  EXPECT_EQ(promise({{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "3"}}),
            "SLURM_STEP_NUM_TASKS=4");
  EXPECT_EQ(promise({{"PMI_SIZE", "2"}}), "PMI_SIZE=2");
  EXPECT_EQ(promise({{"OMPI_COMM_WORLD_SIZE", "3"}}), "OMPI_COMM_WORLD_SIZE=3");
}

TEST(ForeignLauncher, IsNotSeenInTheScriptOrTheShellOfAnAllocation) {
  EXPECT_EQ(promise({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}), "");
  EXPECT_EQ(promise({{"SLURM_STEP_NUM_TASKS", "4"}}), "") << "inherited, but no task";
  EXPECT_EQ(promise({{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "0"}}),
            "");
}

// mpirun starts its daemons as a job step, and the program inherits the variables of that step.
TEST(ForeignLauncher, IsNotSeenWhereOpenMpiSaysOne) {
  EXPECT_EQ(promise({{"OMPI_COMM_WORLD_SIZE", "1"},
                     {"SLURM_STEP_NUM_TASKS", "2"},
                     {"SLURM_STEP_ID", "0"},
                     {"SLURM_PROCID", "0"}}),
            "");
}

TEST(ForeignLauncher, IsNotSeenWhereTheWorldIsWhole) {
  EXPECT_EQ(promise({{"PMI_SIZE", "2"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, 2), "");
}

TEST(ForeignLauncher, IsNotSeenInASingleProcess) {
  EXPECT_EQ(promise({}), "");
  EXPECT_EQ(promise({{"PMI_SIZE", "1"}}), "");
  EXPECT_EQ(promise({{"PMI_SIZE", "many"}}), "");
}

TEST(HasLauncher, IsSoForEachKindThatMpiCanJoin) {
  for (const std::string name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"})
    EXPECT_TRUE((LauncherEnvironment(Said{{name, "0"}}), has_launcher())) << name;
  EXPECT_FALSE((LauncherEnvironment(Said{{"SLURM_NTASKS", "4"}}), has_launcher()));
}

TEST(WithinHost, AreAllProcessesOfThisMachineInTheirOrder) {
  const Comm& comm = test_world();
  const Comm here = within_host(comm);
  EXPECT_EQ(here.size(), comm.size());
  EXPECT_EQ(here.rank(), comm.rank());
}

TEST(HostsOfJob, AreKnownToProcess0WithTheirProcesses) {
  const Comm& comm = test_world();
  std::vector<HostShare> expected;
  if (comm.rank() == Rank{0}) expected = {{host_name(), comm.size()}};
  EXPECT_EQ(hosts_of_job(comm), expected);
}

TEST(RequireEqual, AcceptsOneTextEverywhere) {
  EXPECT_NO_THROW(require_equal_on_all_ranks(test_world(), "the build", "abc"));
}

TEST(RequireEqual, NamesTheFirstRankThatDiffersItsHostAndBothTextsOnEveryRank) {
  const Comm& comm = test_world();
  if (comm.size() == 1) GTEST_SKIP() << "one rank cannot disagree with itself";
  const std::string own =
      comm.rank() == Rank{0} ? "old" : "new" + std::to_string(comm.rank().value);
  try {
    require_equal_on_all_ranks(comm, "the build", own, "install one");
    FAIL() << "no exception on rank " << comm.rank().value;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::mismatch);
    EXPECT_EQ(std::string(error.what()), "the processes disagree on the build: rank 0 on " +
                                             host_name() + " has \"old\", rank 1 on " +
                                             host_name() + " has \"new1\"");
    EXPECT_EQ(error.hint(), "install one");
  }
}

}  // namespace
}  // namespace switchyard
