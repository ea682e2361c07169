#include "checkpoint/visibility.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/host.hpp"
#include "support/errors.hpp"
#include "support/fault_env.hpp"
#include "support/mpi_main.hpp"
#include "support/shared_directory.hpp"

namespace switchyard {
namespace {

using std::chrono::milliseconds;
using test::fails_with;
using testing::IsEmpty;

class VisibilityTest : public testing::Test {
 protected:
  // The path by which this process knows the common directory: `by_the_last` on the last process,
  // directory_.path() on the others.
  std::string seen(const std::string& by_the_last) const {
    return is_last() ? by_the_last : directory_.path();
  }
  bool is_last() const { return world_.rank().value == world_.size() - 1 && world_.size() > 1; }

  const Comm& world_ = test_world();
  test::SharedDirectory directory_{world_};
  PosixEnv env_;
};

TEST_F(VisibilityTest, OfOneDirectoryLeavesNothingBehind) {
  require_seen_by_all(env_, world_, directory_.path(), milliseconds(0));
  barrier(world_);
  EXPECT_THAT(env_.list_directory(directory_.path()), IsEmpty());
}

TEST_F(VisibilityTest, IsDeniedOnEveryProcessWhereOneSeesAnotherDirectoryOrNone) {
  if (world_.size() == 1) GTEST_SKIP() << "one process sees what it sees";
  const test::ScratchDirectory own;
  for (const std::string& other : {own.path(), own.path() + "/absent"}) {
    EXPECT_TRUE(fails_with(
        ExitCode::output_not_writable,
        "on " + host_name() + ", " + broadcast_string(world_, other, Rank{world_.size() - 1}) +
            " is not the directory that process 0 on " + host_name() + " writes to",
        [&] { require_seen_by_all(env_, world_, seen(other), milliseconds(0)); }));
    barrier(world_);
    EXPECT_THAT(env_.list_directory(directory_.path()), IsEmpty());
    EXPECT_THAT(env_.list_directory(own.path()), IsEmpty());
    barrier(world_);  // before process 0 writes the next file
  }
}

// The last process uses another path to the directory, where it may not write.
TEST_F(VisibilityTest, IsDeniedWhereAProcessMayNotWrite) {
  if (world_.size() == 1) GTEST_SKIP() << "process 0 finds out when it writes";
  class OwnMount final : public test::FaultEnv {
   public:
    explicit OwnMount(bool read_only) : FaultEnv(read_only ? 0 : never), read_only_(read_only) {}
    std::string identity(const std::string& path) const override {
      return FaultEnv::identity(path) + (read_only_ ? "read-only" : "");
    }

   private:
    bool read_only_;
  };
  OwnMount env(is_last());
  EXPECT_TRUE(
      fails_with(ExitCode::output_not_writable, "on " + host_name() + ", injected fault",
                 [&] { require_seen_by_all(env, world_, directory_.path(), milliseconds(0)); }));
  barrier(world_);
  EXPECT_THAT(env_.list_directory(directory_.path()), IsEmpty());
}

TEST_F(VisibilityTest, MayTakeItsTime) {
  if (world_.size() == 1) GTEST_SKIP() << "one process sees what it sees";
  const std::string late = directory_.path() + "-late-" + std::to_string(world_.size());
  std::thread link;
  if (is_last()) {
    link = std::thread([&] {
      std::this_thread::sleep_for(milliseconds(300));
      std::filesystem::create_directory_symlink(directory_.path(), late);
    });
  }
  EXPECT_EQ(test::error_of(
                [&] { require_seen_by_all(env_, world_, seen(late), std::chrono::seconds(20)); }),
            "");
  if (!is_last()) return;
  link.join();
  env_.remove_file(late);
}

TEST(LeftOverSign, IsKnownByItsName) {
  EXPECT_TRUE(is_left_over_sign(".seen-by-all-12-13"));
  EXPECT_FALSE(is_left_over_sign("step-00000001"));
}

}  // namespace
}  // namespace switchyard
