#include "comm/job.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

// Sets the three variables, removes those of value null, and restores all at the end.
class LauncherEnvironment {
 public:
  LauncherEnvironment(const char* pmi, const char* slurm, const char* open_mpi) {
    const char* values[] = {pmi, slurm, open_mpi};
    for (int i = 0; i < 3; ++i) {
      if (const char* old = std::getenv(names[i])) old_[i] = old;
      set(names[i], values[i]);
    }
  }
  ~LauncherEnvironment() {
    for (int i = 0; i < 3; ++i) set(names[i], old_[i] ? old_[i]->c_str() : nullptr);
  }

 private:
  static void set(const char* name, const char* value) {
    value ? setenv(name, value, 1) : unsetenv(name);
  }
  static constexpr const char* names[] = {"PMI_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"};
  std::optional<std::string> old_[3];
};

TEST(ForeignLauncher, IsFoundByAPromiseOfMoreProcesses) {
  const LauncherEnvironment environment(nullptr, "4", nullptr);
  const auto found = foreign_launcher(1);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "SLURM_NTASKS");
  EXPECT_EQ(found->value, "4");
}

TEST(ForeignLauncher, IsFoundByEachOfTheVariables) {
  EXPECT_EQ((LauncherEnvironment("2", "1", "1"), foreign_launcher(1)->name), "PMI_SIZE");
  EXPECT_EQ((LauncherEnvironment("1", "1", "3"), foreign_launcher(1)->name),
            "OMPI_COMM_WORLD_SIZE");
}

TEST(ForeignLauncher, IsNotSeenWhereTheWorldIsWhole) {
  const LauncherEnvironment environment("2", "2", "2");
  EXPECT_FALSE(foreign_launcher(2));
}

TEST(ForeignLauncher, IsNotSeenInASingleProcess) {
  EXPECT_FALSE((LauncherEnvironment(nullptr, nullptr, nullptr), foreign_launcher(1)));
  EXPECT_FALSE((LauncherEnvironment("1", "", "many"), foreign_launcher(1)));
}

TEST(RequireEqual, AcceptsOneTextEverywhere) {
  EXPECT_NO_THROW(require_equal_on_all_ranks(test_world(), "the build", "abc"));
}

TEST(RequireEqual, NamesTheRanksAndBothTextsOnEveryRank) {
  const Comm& comm = test_world();
  if (comm.size() == 1) GTEST_SKIP() << "one rank cannot disagree with itself";
  const bool last = comm.rank() == Rank{comm.size() - 1};
  try {
    require_equal_on_all_ranks(comm, "the build", last ? "new" : "old");
    FAIL() << "no exception on rank " << comm.rank().value;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::mismatch);
    EXPECT_EQ(std::string(error.what()),
              "the processes disagree on the build: rank 0 has \"old\", rank " +
                  std::to_string(comm.size() - 1) + " has \"new\"");
  }
}

}  // namespace
}  // namespace switchyard
