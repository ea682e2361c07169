#include "checkpoint/run_lock.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "files/env.hpp"
#include "support/errors.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard {
namespace {

// A child process that takes the lock, reports it, and holds it until it is killed.
class Holder {
 public:
  explicit Holder(const std::string& run) {
    int ends[2];
    if (pipe(ends) != 0) return;
    child_ = fork();
    if (child_ == 0) {
      const RunLock lock(run);
      (void)!write(ends[1], "x", 1);
      pause();
      _exit(0);
    }
    char locked;
    (void)!read(ends[0], &locked, 1);
    close(ends[0]);
    close(ends[1]);
  }
  ~Holder() { die(); }
  void die() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }
  pid_t pid() const { return child_; }

 private:
  pid_t child_ = 0;
};

TEST(RunLock, RefusesASecondHolderAndNamesTheFirst) {
  const test::ScratchDirectory run;
  const Holder holder(run.path());
  char host[256];
  gethostname(host, sizeof host);
  EXPECT_TRUE(test::fails_with(
      ExitCode::output_not_writable,
      run.path() + " is in use by process " + std::to_string(holder.pid()) + " on " + host,
      [&] { RunLock second(run.path()); }));
}

TEST(RunLock, IsNoObstacleOnceItsHolderWasKilled) {
  const test::ScratchDirectory run;
  Holder holder(run.path());
  holder.die();
  const RunLock lock(run.path());
  EXPECT_NE(read_file(PosixEnv(), run.path() + "/lock", 1000).find(std::to_string(getpid())),
            std::string::npos);
}

TEST(RunLock, EndsWithItsOwnerAndMovesWithIt) {
  const test::ScratchDirectory run;
  std::optional<RunLock> kept;
  {
    RunLock lock(run.path());
    kept.emplace(std::move(lock));
  }
  EXPECT_TRUE(test::fails_with(ExitCode::output_not_writable, "is in use",
                               [&] { RunLock second(run.path()); }));
  kept.reset();
  const RunLock again(run.path());
}

TEST(RunLock, NeedsADirectory) {
  EXPECT_TRUE(test::fails_with(ExitCode::output_not_writable, "/nowhere/lock",
                               [] { RunLock lock("/nowhere"); }));
}

}  // namespace
}  // namespace switchyard
