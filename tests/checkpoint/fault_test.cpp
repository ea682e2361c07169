// A save that fails at any of its operations, on any process, loses no earlier checkpoint and
// leaves no files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/store.hpp"
#include "support/errors.hpp"
#include "support/fault_env.hpp"
#include "support/mpi_main.hpp"
#include "support/shared_directory.hpp"
#include "support/small_state.hpp"

namespace switchyard {
namespace {

using test::Fault;
using test::FaultEnv;
using test::SmallState;
using testing::ElementsAre;

class SaveFaultTest : public testing::Test {
 protected:
  SaveFaultTest()
      : layout_(4, world_.size(), 1, 4), directory_(world_), state_(layout_, world_.rank(), 1) {}

  std::string checkpoints() const { return directory_.path() + "/checkpoints"; }

  // Returns "" on success, else the reason.
  std::string save(Env& env, std::int64_t step) {
    state_.fill(static_cast<std::uint32_t>(step));
    return test::error_of([&] {
      save_checkpoint(env, world_, layout_, checkpoints(), {.step = step}, state_.tensors(),
                      most_side_by_side_);
    });
  }

  // Loading the checkpoint gives the state of its step.
  void expect_loads(const CheckpointEntry& entry) {
    SmallState live(layout_, world_.rank(), 77);
    load_checkpoint(world_, open_valid(real_, world_, entry.directory), live.tensors());
    EXPECT_EQ(live, SmallState(layout_, world_.rank(), static_cast<std::uint32_t>(entry.step)));
  }

  std::optional<CheckpointEntry> find_newest() {
    const auto opened = open_newest_valid(real_, world_, checkpoints(), silent_);
    if (!opened) return std::nullopt;
    return CheckpointEntry{opened->state().step, opened->directory()};
  }

  void on_rank_0(auto&& action) {
    barrier(world_);
    if (world_.rank() == Rank{0}) action();
    barrier(world_);
  }

  // Fails operation n of process `victim` for n = 0, 1, … until a save of step 2 succeeds; returns
  // the number of failures.
  template <class Check>
  int fail_every_operation(Rank victim, Fault fault, Check&& check) {
    for (int n = 0;; ++n) {
      on_rank_0([&] { real_.remove_tree(checkpoints()); });
      EXPECT_EQ(save(real_, 1), "");
      FaultEnv env(world_.rank() == victim ? n : FaultEnv::never, fault);
      const std::string reason = save(env, 2);
      std::int64_t reached = env.reached() ? 1 : 0;
      all_reduce_max(world_, std::span(&reached, 1));
      if (reached == 0) {
        EXPECT_EQ(reason, "");
        return n;
      }
      EXPECT_NE(reason.find("injected fault"), std::string::npos) << reason;
      if (victim != Rank{0}) {
        EXPECT_NE(reason.find("process " + std::to_string(victim.value)), std::string::npos)
            << reason;
      }
      barrier(world_);
      check(n);
    }
  }

  const Comm& world_ = test_world();
  Layout layout_;
  test::SharedDirectory directory_;
  PosixEnv real_;
  SmallState state_;
  Log silent_{nullptr};
  std::int64_t most_side_by_side_ = most_shards_side_by_side;
};

TEST_F(SaveFaultTest, OneFailedOperationLeavesOnlyThePreviousCheckpoint) {
  for (int p = 0; p < world_.size(); ++p) {
    const int operations = fail_every_operation(Rank{p}, Fault::once, [&](int n) {
      EXPECT_THAT(real_.list_directory(checkpoints()), ElementsAre("step-00000001")) << n;
      const auto newest = find_newest();
      ASSERT_TRUE(newest.has_value());
      EXPECT_EQ(newest->step, 1);
      expect_loads(*newest);
      EXPECT_EQ(save(real_, 2), "");  // the next attempt is not in the way of this one
    });
    EXPECT_GE(operations, p == 0 ? 20 : 10);
  }
}

// As with more than 256 processes.
TEST_F(SaveFaultTest, OneFailedOperationLeavesNoSubdirectoryEither) {
  most_side_by_side_ = 0;
  for (int p = 0; p < world_.size(); ++p) {
    fail_every_operation(Rank{p}, Fault::once, [&](int n) {
      EXPECT_THAT(real_.list_directory(checkpoints()), ElementsAre("step-00000001")) << n;
      barrier(world_);  // before any process begins the next attempt
      EXPECT_EQ(save(real_, 2), "");
    });
  }
}

TEST_F(SaveFaultTest, SubdirectoriesAreDurableBeforeTheCommit) {
  most_side_by_side_ = 0;
  FaultEnv env;
  EXPECT_EQ(save(env, 1), "");
  if (world_.rank() != Rank{0}) return;
  const auto& operations = env.operations();
  const auto done = [&](const std::string& begin, const std::string& end) {
    return std::ranges::find_if(operations,
                                [&](const std::string& operation) {
                                  return operation.starts_with(begin) && operation.ends_with(end);
                                }) -
           operations.begin();
  };
  const auto synced = done("sync_directory ", "/shards-000"),
             committed = done("rename ", "/step-00000001");
  EXPECT_LT(done("create ", "/shards-000/shard-00000.bin"), synced);
  EXPECT_LT(synced, committed);
  EXPECT_LT(committed, std::ssize(operations));
}

TEST_F(SaveFaultTest, ADyingProcessLosesNothingAndNoHalfIsTakenForAWhole) {
  for (int p = 0; p < world_.size(); ++p) {
    fail_every_operation(Rank{p}, Fault::forever, [&](int n) {
      const auto newest = find_newest();
      ASSERT_TRUE(newest.has_value()) << n;
      expect_loads(*newest);  // step 1, or 2 where only the last fsync is missing
      on_rank_0([&] { clean_leftovers(real_, checkpoints()); });
      for (const std::string& name : real_.list_directory(checkpoints())) {
        EXPECT_TRUE(name == "step-00000001" || name == "step-00000002") << name;
      }
    });
  }
}

TEST_F(SaveFaultTest, RetentionThatDiesAnywhereKeepsTheNewest) {
  for (int n = 0;; ++n) {
    on_rank_0([&] { real_.remove_tree(checkpoints()); });
    for (const std::int64_t step : {1, 2, 3}) EXPECT_EQ(save(real_, step), "");
    FaultEnv env(n, Fault::forever);
    on_rank_0([&] { test::error_of([&] { apply_retention(env, checkpoints(), 3, 1); }); });
    const auto newest = find_newest();
    ASSERT_TRUE(newest.has_value());
    EXPECT_EQ(newest->step, 3);
    on_rank_0([&] {
      clean_leftovers(real_, checkpoints());
      for (const auto& entry : list_checkpoints(real_, checkpoints())) {
        EXPECT_EQ(test::error_of([&] { verify_checkpoint(real_, entry.directory); }), "");
      }
    });
    std::int64_t reached = env.reached() ? 1 : 0;
    all_reduce_max(world_, std::span(&reached, 1));
    if (reached == 0) break;
  }
}

TEST_F(SaveFaultTest, OnlyDurableFilesAreCommitted) {
  FaultEnv env;
  ASSERT_EQ(save(env, 1), "");
  if (world_.rank() != Rank{0}) return;
  const auto& done = env.operations();
  const auto find = [&](const std::string& prefix, const std::string& suffix) {
    return std::ranges::find_if(done, [&](const std::string& operation) {
      return operation.starts_with(prefix) && operation.ends_with(suffix);
    });
  };
  const auto shard = find("sync ", "/shard-00000.bin"), created = find("create ", "/MANIFEST"),
             manifest = find("sync ", "/MANIFEST"), commit = find("rename ", "/step-00000001");
  ASSERT_NE(commit, done.end());
  const std::string from = commit->substr(7, commit->find(' ', 7) - 7);
  const auto inner = find("sync_directory " + from, ""),
             outer = std::find(commit, done.end(), "sync_directory " + checkpoints());
  EXPECT_LT(shard, created);
  EXPECT_LT(created, manifest);
  EXPECT_LT(manifest, inner);
  EXPECT_LT(inner, commit);
  EXPECT_EQ(outer, done.end() - 1);
}

}  // namespace
}  // namespace switchyard
