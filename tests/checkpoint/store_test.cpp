// Which checkpoints exist, which is the newest valid one, and which may be deleted.
#include "checkpoint/store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/host.hpp"
#include "checkpoint/digest.hpp"
#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "support/errors.hpp"
#include "support/fault_env.hpp"
#include "support/mpi_main.hpp"
#include "support/reading_env.hpp"
#include "support/shared_directory.hpp"
#include "support/small_state.hpp"

namespace switchyard {
namespace {

using test::fails_with;
using testing::ElementsAre;
using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  StoreTest()
      : directory_(world_), layout_(4, world_.size(), 1, 2), state_(layout_, world_.rank(), 1) {}

  std::string run() const { return directory_.path() + "/run"; }
  std::string checkpoints() const { return run() + "/checkpoints"; }
  std::string at(std::int64_t step) const { return checkpoints() + "/" + checkpoint_name(step); }

  void save(std::initializer_list<std::int64_t> steps) {
    for (const auto step : steps) {
      save_checkpoint(env_, world_, layout_, checkpoints(), {.step = step}, state_.tensors());
    }
  }
  void on_rank_0(auto&& action) {
    barrier(world_);
    if (world_.rank() == Rank{0}) action();
    barrier(world_);
  }
  void damage(std::int64_t step) {
    on_rank_0([&] {
      const auto size = env_.file_size(at(step) + "/MANIFEST");
      env_.truncate(at(step) + "/MANIFEST", size - 1);
    });
  }
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> all;
    for (const auto& entry : list_checkpoints(env_, checkpoints())) all.push_back(entry.step);
    return all;
  }
  // Opens the newest and records rank 0's warnings; other ranks have none.
  std::optional<CheckpointEntry> newest() {
    console_.str("");
    Log log(world_.rank() == Rank{0} ? &console_ : nullptr);
    const auto opened = open_newest_valid(env_, world_, checkpoints(), log);
    if (!opened) return std::nullopt;
    return CheckpointEntry{opened->state().step, opened->directory()};
  }
  // Opens the newest checkpoint while another process deletes checkpoints: process 0 runs `deed`
  // just before it opens `file` for the first time.
  CheckpointReader open_while(const std::string& file, const std::function<void()>& deed) {
    test::FaultEnv env;
    bool done = world_.rank() != Rank{0};
    env.before_open = [&](const std::string& path) {
      if (done || path != file) return;
      done = true;
      deed();
    };
    console_.str("");
    Log log(world_.rank() == Rank{0} ? &console_ : nullptr);
    CheckpointReader reader = open_checkpoint(env, world_, run(), log);
    EXPECT_TRUE(done) << file << " was never opened";
    EXPECT_EQ(console_.str(), "");
    // The rest is read through the real environment, since the other one ends here.
    return open_checkpoint(env_, world_, reader.directory(), log);
  }

  const Comm& world_ = test_world();
  test::SharedDirectory directory_;
  PosixEnv env_;
  Layout layout_;
  test::SmallState state_;
  std::ostringstream console_;
};

TEST_F(StoreTest, HasNothingBeforeTheFirstSave) {
  EXPECT_TRUE(list_checkpoints(env_, checkpoints()).empty());
  EXPECT_EQ(newest(), std::nullopt);
  on_rank_0([&] { clean_leftovers(env_, checkpoints()); });
}

TEST_F(StoreTest, ListsCommittedOnesNewestFirst) {
  save({2, 100000000, 10});
  on_rank_0([&] {
    for (const char* name : {"step-00000003.tmp-1f", ".trash-step-00000004", "step-5", "step-",
                             "step-000000000006", "step-0000000x", "notes"}) {
      env_.make_directories(checkpoints() + "/" + name);
    }
    write_file_atomically(env_, checkpoints() + "/step-00000011", "a file");
  });
  EXPECT_THAT(steps(), ElementsAre(100000000, 10, 2));
  EXPECT_EQ(newest(), (CheckpointEntry{100000000, checkpoints() + "/step-100000000"}));
}

TEST_F(StoreTest, PassesOverDamagedOnesWithAWarningEach) {
  save({1, 2, 3, 4});
  for (std::int64_t step = 4; step > 1; --step) {
    damage(step);
    EXPECT_EQ(newest(), (CheckpointEntry{step - 1, at(step - 1)}));
    if (world_.rank() == Rank{0}) {
      EXPECT_THAT(console_.str(), HasSubstr("warning: checkpoint of step " + std::to_string(step) +
                                            " passed over: " + at(step) + "/MANIFEST"));
    }
  }
  damage(1);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "none of the 4 checkpoints", [&] { newest(); }));
}

TEST_F(StoreTest, DoesNotBelieveANameThatContradictsTheManifest) {
  save({1, 2});
  on_rank_0([&] { env_.rename(at(2), at(9)); });
  EXPECT_EQ(newest(), (CheckpointEntry{1, at(1)}));
  if (world_.rank() == Rank{0}) {
    EXPECT_THAT(console_.str(), HasSubstr("holds step 2"));
  }
}

TEST_F(StoreTest, RetainsTheNewest) {
  save({1, 2, 3, 4, 5});
  on_rank_0([&] { apply_retention(env_, checkpoints(), 5, 2); });
  EXPECT_THAT(env_.list_directory(checkpoints()), ElementsAre("step-00000004", "step-00000005"));
  on_rank_0([&] { apply_retention(env_, checkpoints(), 5, 9); });
  EXPECT_THAT(steps(), ElementsAre(5, 4));
  on_rank_0([&] { apply_retention(env_, checkpoints(), 5, 0); });
  EXPECT_THAT(steps(), ElementsAre(5));
}

TEST_F(StoreTest, RetainsTheOneJustSavedAndWhatThisRunHasPassedOver) {
  save({1, 2, 3, 4});
  damage(4);
  damage(3);
  on_rank_0([&] { apply_retention(env_, checkpoints(), 2, 1); });
  EXPECT_THAT(steps(), ElementsAre(4, 3, 2));
}

TEST_F(StoreTest, DeletesNothingWhereTheOneJustSavedIsNotWhole) {
  const auto refused = [&](std::int64_t saved, const std::string& words) {
    on_rank_0([&] {
      EXPECT_TRUE(fails_with(ExitCode::damaged_data, words,
                             [&] { apply_retention(env_, checkpoints(), saved, 1); }));
    });
    EXPECT_THAT(steps(), ElementsAre(4, 3, 2, 1));
  };
  save({1, 2, 3, 4});
  damage(4);
  refused(4, at(4) + "/MANIFEST");
  on_rank_0([&] { env_.remove_file(at(3) + "/shard-00000.bin"); });
  refused(3, "shard-00000.bin is missing");
  refused(5, at(5));
}

TEST_F(StoreTest, DoesNotReadWhatWasJustSavedToRetainIt) {
  save({1, 2});
  test::ReadingEnv env;
  on_rank_0([&] { apply_retention(env, checkpoints(), 2, 1); });
  EXPECT_THAT(steps(), ElementsAre(2));
  EXPECT_EQ(env.bytes_of("shard"), 0);
}

TEST_F(StoreTest, CleansWhatInterruptedWorkLeft) {
  save({1});
  on_rank_0([&] {
    env_.make_directories(checkpoints() + "/step-00000002.tmp-00ff/sub");
    env_.make_directories(checkpoints() + "/.trash-step-00000000");
    env_.make_directories(checkpoints() + "/notes");
    clean_leftovers(env_, checkpoints());
  });
  EXPECT_THAT(env_.list_directory(checkpoints()), ElementsAre("notes", "step-00000001"));
}

TEST_F(StoreTest, ResolvesACheckpointOrARun) {
  save({1, 2});
  Log silent(nullptr);
  const auto resolve = [&](const std::string& path) {
    return open_checkpoint(env_, world_, path, silent).directory();
  };
  EXPECT_EQ(resolve(run()), at(2));
  EXPECT_EQ(resolve(at(1)), at(1));
  EXPECT_EQ(resolve(at(1) + "/"), at(1) + "/");
  damage(2);
  EXPECT_EQ(resolve(run()), at(1));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, at(2), [&] { resolve(at(2)); }));
  EXPECT_TRUE(
      fails_with(ExitCode::missing_input, run() + "/none", [&] { resolve(run() + "/none"); }));
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "holds no checkpoint",
                         [&] { resolve(directory_.path()); }));
  on_rank_0([&] { env_.remove_file(at(1) + "/MANIFEST"); });
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "has no MANIFEST", [&] { resolve(at(1)); }));
}

TEST_F(StoreTest, PassesOverWhatATrainerDeletesWhileItIsRead) {
  for (const std::string name : {"MANIFEST", "shard-00000.bin"}) {
    on_rank_0([&] { env_.remove_tree(checkpoints()); });
    save({1, 2});
    const auto deleted = open_while(
        at(2) + "/" + name, [&] { retire_checkpoint(env_, checkpoints(), checkpoint_name(2)); });
    EXPECT_EQ(deleted.directory(), at(1)) << "the next newest was there all the time";
    barrier(world_);
  }
}

TEST_F(StoreTest, TakesTheOneThatATrainerSavedBeforeItDeleted) {
  save({1, 2});
  on_rank_0([&] { env_.rename(at(2), run() + "/kept"); });
  const auto reader = open_while(at(1) + "/MANIFEST", [&] {
    env_.rename(run() + "/kept", at(2));
    retire_checkpoint(env_, checkpoints(), checkpoint_name(1));
  });
  EXPECT_EQ(reader.directory(), at(2));
}

TEST_F(StoreTest, DoesNotCallDamagedWhatAHostDoesNotSee) {
  if (world_.size() == 1) GTEST_SKIP() << "one process sees what it sees";
  class Elsewhere final : public test::FaultEnv {
   public:
    bool exists(const std::string& path) const override {
      return path.find("step-") == path.npos && FaultEnv::exists(path);
    }
  };
  save({1, 2});
  const Elsewhere elsewhere;
  const bool last = world_.rank().value == world_.size() - 1;
  const Env& env = last ? static_cast<const Env&>(elsewhere) : env_;
  Log silent(nullptr);
  EXPECT_TRUE(fails_with(ExitCode::missing_input,
                         " on " + host_name() + ": " + at(2) + " is not there",
                         [&] { open_checkpoint(env, world_, run(), silent); }));
}

TEST_F(StoreTest, ReadsWhatItOpenedToTheEndThoughItIsDeleted) {
  save({1});
  const CheckpointReader reader = open_valid(env_, world_, at(1));
  on_rank_0([&] { retire_checkpoint(env_, checkpoints(), checkpoint_name(1)); });
  test::SmallState live(layout_, world_.rank(), 2);
  load_checkpoint(world_, reader, live.tensors());
  EXPECT_EQ(live, state_);
  EXPECT_FALSE(digest_checkpoint(reader).empty());
}

TEST_F(StoreTest, SaysThatACheckpointByNameWasDeleted) {
  save({1});
  test::FaultEnv env;
  env.before_open = [&](const std::string&) {
    if (world_.rank() == Rank{0}) retire_checkpoint(env_, checkpoints(), checkpoint_name(1));
  };
  Log silent(nullptr);
  EXPECT_TRUE(fails_with(ExitCode::missing_input, at(1) + " was deleted while it was read",
                         [&] { open_checkpoint(env, world_, at(1), silent); }));
}

}  // namespace
}  // namespace switchyard
