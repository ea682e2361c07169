// Saving and loading on the number of processes that the test runs with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>

#include "checkpoint/claims.hpp"
#include "checkpoint/digest.hpp"
#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/share_out.hpp"
#include "checkpoint/store.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "support/reading_env.hpp"
#include "support/shared_directory.hpp"
#include "support/small_state.hpp"

namespace switchyard {
namespace {

using test::fails_with;
using test::SmallState;

constexpr int virtual_ranks = 4, experts = 5;

RunState state_at(std::int64_t step) {
  return {.step = step,
          .samples = 8 * step,
          .config_text = "train { seed: 3 }\n",
          .data_digest = "d",
          .tokenizer_digest = "t",
          .build = {"0.1.0", "abc", "Release", "2.6.3", "AVX2", "Open MPI", 9}};
}

// A communicator of the first n processes of the world; nullopt on the others.
std::optional<Comm> first_processes(int n) {
  const Comm& world = test_world();
  Comm part = world.split(world.rank().value < n ? 0 : 1, static_cast<int>(world.rank().value));
  if (world.rank().value >= n) return std::nullopt;
  return part;
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest()
      : directory_(test_world()),
        layout_(virtual_ranks, test_world().size(), 1, experts),
        saved_(layout_, test_world().rank(), 1),
        live_(layout_, test_world().rank(), 2) {}

  std::string checkpoints() const { return directory_.path() + "/run/checkpoints"; }
  std::string save(std::int64_t step) {
    return save_checkpoint(env_, test_world(), layout_, checkpoints(), state_at(step),
                           saved_.tensors());
  }

  test::SharedDirectory directory_;
  PosixEnv env_;
  Layout layout_;
  SmallState saved_, live_;
};

TEST_F(CheckpointTest, SavedOnAnyProcessesLoadsOnAnyOthers) {
  for (int writers = 1; writers <= test_world().size(); ++writers) {
    std::string saved;
    if (const auto comm = first_processes(writers)) {
      const Layout layout(virtual_ranks, writers, 1, experts);
      SmallState state(layout, comm->rank(), 1);
      saved =
          save_checkpoint(env_, *comm, layout, checkpoints(), state_at(writers), state.tensors());
    }
    saved = broadcast_string(test_world(), saved, Rank{0});
    EXPECT_EQ(saved, checkpoints() + "/" + checkpoint_name(writers));
    for (int readers = 1; readers <= test_world().size(); ++readers) {
      const auto comm = first_processes(readers);
      if (!comm) continue;
      const Layout layout(virtual_ranks, readers, 1, experts);
      SmallState live(layout, comm->rank(), 2);
      load_checkpoint(*comm, open_valid(env_, *comm, saved), live.tensors());
      EXPECT_EQ(live, SmallState(layout, comm->rank(), 1)) << writers << " to " << readers;
      EXPECT_EQ(CheckpointReader(env_, saved).state(), state_at(writers));
    }
    barrier(test_world());
  }
}

TEST_F(CheckpointTest, HashesTensorsTheSameOnAnyProcesses) {
  const auto digests = digest_checkpoint({env_, save(1)});
  const Layout alone(virtual_ranks, 1, 1, experts);
  SmallState whole(alone, Rank{0}, 1);
  std::map<std::string, std::string> expected;
  for (const NamedTensor& tensor : whole.tensors()) expected[tensor.name] = digest_tensor(tensor);
  ASSERT_EQ(digests.size(), expected.size());
  auto at = expected.begin();  // both by name
  for (const TensorDigest& digest : digests) {
    EXPECT_EQ(digest, (TensorDigest{at->first, at->second}));
    ++at;
  }
}

TEST_F(CheckpointTest, IsDividedBetweenTheProcesses) {
  const CheckpointSummary summary = summarize_checkpoint({env_, save(1)});
  EXPECT_EQ(summary.files, test_world().size());
  EXPECT_EQ(summary.processes, test_world().size());
  EXPECT_EQ(summary.tensors.size(), 5u + 2u * experts);
  const auto expert = std::ranges::find(summary.tensors, "experts.3.wo", &TensorSummary::name);
  ASSERT_NE(expert, summary.tensors.end());
  EXPECT_EQ(expert->expert, ExpertId{3});
  EXPECT_EQ(expert->rows, 7);
  EXPECT_EQ(expert->bytes, 7 * 5 * 4);
  // The embedding is larger than the rest of a share; no other process's file may be larger than
  // it.
  for (int p = 0; p < test_world().size(); ++p) {
    char name[32];
    std::snprintf(name, sizeof name, "/shard-%05d.bin", p);
    EXPECT_LE(env_.file_size(checkpoints() + "/step-00000001" + name),
              summary.bytes / test_world().size() + 40 * 6 * 4);
  }
}

TEST_F(CheckpointTest, StoresReplicatedExpertsOnce) {
  const Layout replicated(virtual_ranks, test_world().size() == 3 ? 1 : test_world().size(), 4,
                          experts);
  const auto comm = first_processes(replicated.processes());
  if (comm) {
    SmallState state(replicated, comm->rank(), 1);
    const auto saved =
        save_checkpoint(env_, *comm, replicated, checkpoints(), state_at(1), state.tensors());
    EXPECT_EQ(summarize_checkpoint({env_, saved}).tensors.size(), 5u + 2u * experts);
    SmallState live(replicated, comm->rank(), 2);
    load_checkpoint(*comm, open_valid(env_, *comm, saved), live.tensors());
    EXPECT_EQ(live, state);
  }
  barrier(test_world());
}

TEST_F(CheckpointTest, RefusesTensorsThatAreNotTheModels) {
  const std::string saved = save(1);
  const Comm& world = test_world();
  const SmallState before(layout_, world.rank(), 2);
  const CheckpointReader from = open_valid(env_, world, saved);
  const auto refused = [&](const std::string& words, std::vector<NamedTensor> into) {
    EXPECT_TRUE(fails_with(ExitCode::mismatch, words, [&] { load_checkpoint(world, from, into); }));
    EXPECT_EQ(live_, before);
  };
  const std::vector<NamedTensor> all(live_.tensors().begin(), live_.tensors().end());
  const bool last = world.rank().value == world.size() - 1;

  auto other = all;
  if (last) other[2].name = "attention.k";
  refused("no tensor attention.k [6, 12]", other);
  other = all;
  if (last) std::swap(other[2].rows, other[2].cols);
  refused("attention.q is [6, 12] in the checkpoint and [12, 6]", other);
  other = all;
  if (last) other[2].expert = ExpertId{1};
  refused("attention.q is dense in the checkpoint and of expert 1", other);
  other = all;
  std::erase_if(other, [](const NamedTensor& t) { return t.name == "experts.4.wi"; });
  refused("has a tensor experts.4.wi [5, 7] that this model does not have", other);
}

TEST_F(CheckpointTest, LoadsAPartWhereAPartIsWanted) {
  const std::string saved = save(1);
  std::vector<NamedTensor> part(live_.tensors().begin(), live_.tensors().end());
  std::erase_if(part, [](const NamedTensor& t) { return t.name.find('/') != std::string::npos; });
  load_checkpoint(test_world(), open_valid(env_, test_world(), saved), part, Coverage::part);
  EXPECT_EQ(digest_tensor(live_.tensors()[0]), digest_tensor(saved_.tensors()[0]));
  EXPECT_NE(digest_tensor(live_.tensors()[4]), digest_tensor(saved_.tensors()[4]));  // the state
}

TEST_F(CheckpointTest, LeavesAValidOneOfTheSameStepAlone) {
  const std::string first = save(1);
  const auto digests = digest_checkpoint({env_, first});
  barrier(test_world());
  saved_.fill(7);
  EXPECT_EQ(save(1), first);
  EXPECT_EQ(digest_checkpoint({env_, first}), digests);
}

// Each of the processes reads a part of the checkpoint that exists.
TEST_F(CheckpointTest, SharesOutTheCheckOfOneOfTheSameStep) {
  save(1);
  test::ReadingEnv env;
  save_checkpoint(env, test_world(), layout_, checkpoints(), state_at(1), saved_.tensors());
  const std::string own = "shard-0000" + std::to_string(test_world().rank().value);
  EXPECT_EQ(env.bytes_of("shard"), env.bytes_of(own));
}

TEST_F(CheckpointTest, ReadsADenseTensorOnceAHost) {
  const std::string saved = save(1);
  test::ReadingEnv env;
  const CheckpointReader reader = open_valid(env, test_world(), saved);
  const std::int64_t before = env.bytes_of("shard");
  load_checkpoint(test_world(), reader, live_.tensors());
  EXPECT_EQ(live_, saved_);
  std::int64_t read = env.bytes_of("shard") - before;
  all_reduce_sum(test_world(), std::span(&read, 1));
  std::int64_t stored = 0;
  for (const ManifestFile& file : reader.manifest().files()) stored += file.size();
  EXPECT_EQ(read, stored) << "of all processes of this host together";
}

TEST_F(CheckpointTest, FailsOnAllProcessesWhereTheReaderOfADenseTensorFindsDamage) {
  const std::string saved = save(1);
  const CheckpointReader reader = open_valid(env_, test_world(), saved);
  const ManifestTensor& tensor = reader.manifest().tensors(*find_tensor(reader.manifest(), "norm"));
  const std::string path = saved + "/" + reader.manifest().files(tensor.file()).name();
  barrier(test_world());
  if (test_world().rank() == Rank{0}) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(tensor.offset()).put('x');
  }
  barrier(test_world());
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, path + " is damaged between bytes",
                         [&] { load_checkpoint(test_world(), reader, live_.tensors()); }));
}

TEST_F(CheckpointTest, ReplacesADamagedOneOfTheSameStep) {
  const std::string first = save(1);
  barrier(test_world());
  if (test_world().rank() == Rank{0}) env_.truncate(first + "/shard-00000.bin", 64);
  EXPECT_EQ(save(1), first);
  load_checkpoint(test_world(), open_valid(env_, test_world(), first), live_.tensors());
  EXPECT_EQ(live_, saved_);
  EXPECT_THAT(env_.list_directory(checkpoints()), testing::ElementsAre("step-00000001"));
}

// As with more than 256 processes, though these are few.
TEST_F(CheckpointTest, LiesInSubdirectoriesWhereShardsAreMany) {
  const Comm& world = test_world();
  const std::string saved = save_checkpoint(env_, world, layout_, checkpoints(), state_at(1),
                                            saved_.tensors(), /*most_side_by_side=*/0);
  EXPECT_THAT(env_.list_directory(saved), testing::ElementsAre("MANIFEST", "shards-000"));
  EXPECT_EQ(std::ssize(env_.list_directory(saved + "/shards-000")), world.size());
  verify_checkpoint(env_, saved);
  load_checkpoint(world, open_valid(env_, world, saved), live_.tensors());
  EXPECT_EQ(live_, saved_);
  const auto digests = digest_checkpoint({env_, saved});
  EXPECT_EQ(digests, digest_checkpoint({env_, save(2)}));
  barrier(world);
  if (world.rank() == Rank{0}) {
    apply_retention(env_, checkpoints(), 2, 1);
    EXPECT_THAT(env_.list_directory(checkpoints()), testing::ElementsAre("step-00000002"));
  }
  barrier(world);
}

TEST_F(CheckpointTest, IsDamagedWhereAShardInASubdirectoryIs) {
  const Comm& world = test_world();
  const std::string saved = save_checkpoint(env_, world, layout_, checkpoints(), state_at(1),
                                            saved_.tensors(), /*most_side_by_side=*/0);
  barrier(world);
  if (world.rank() == Rank{0}) env_.truncate(saved + "/shards-000/shard-00000.bin", 64);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "shards-000/shard-00000.bin has 64 bytes",
                         [&] { open_valid(env_, world, saved); }));
  barrier(world);
  if (world.rank() == Rank{0}) env_.remove_tree(saved + "/shards-000");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "shards-000/shard-00000.bin is missing",
                         [&] { open_valid(env_, world, saved); }));
}

TEST_F(CheckpointTest, RefusesToLeaveOutAnExpert) {
  const Comm& world = test_world();
  std::vector<NamedTensor> tensors(saved_.tensors().begin(), saved_.tensors().end());
  const std::int64_t lost = experts - 1;  // its owner omits it
  std::erase_if(tensors, [&](const NamedTensor& t) { return t.expert == ExpertId{lost}; });
  EXPECT_TRUE(fails_with(ExitCode::mismatch, "expert 4 has other tensors than expert 0", [&] {
    save_checkpoint(env_, world, layout_, checkpoints(), state_at(1), tensors);
  }));
  barrier(world);
  EXPECT_THAT(env_.list_directory(checkpoints()), testing::IsEmpty());
}

TEST(FirstUnclaimed, IsTheLowestThatNoProcessClaims) {
  const Comm& world = test_world();
  constexpr int count = 10000;
  std::vector<int> own;  // every tensor on one process, and some on all
  for (int i = count; i-- > 0;)
    if (i % world.size() == world.rank().value || i % 100 == 0) own.push_back(i);
  EXPECT_EQ(first_unclaimed(world, own, count), std::nullopt);
  EXPECT_EQ(first_unclaimed(world, own, count + 1), count);
  for (const int lost : {7777, 4097, 4096, 4095, 0}) {
    std::erase(own, lost);
    EXPECT_EQ(first_unclaimed(world, own, count), lost);
  }
  EXPECT_EQ(first_unclaimed(world, {}, 0), std::nullopt);
}

TEST(ShareOut, FollowsTheWorkedExample) {
  const std::vector<std::int64_t> bytes = {400, 300};
  EXPECT_EQ(share_out(bytes, {100, 100}), (std::vector<Rank>{Rank{0}, Rank{1}}));
}

TEST(ShareOut, GivesNobodyMoreThanTheLeastLoadedAndOneTensor) {
  const std::vector<std::int64_t> bytes = {5, 900, 70, 70, 300, 0, 41, 500, 12, 333};
  std::vector<std::int64_t> load = {0, 100, 50};
  const auto process = share_out(bytes, load);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    load[static_cast<std::size_t>(process[i].value)] += bytes[i];
  EXPECT_LE(*std::ranges::max_element(load) - *std::ranges::min_element(load), 900);
  EXPECT_EQ(load[0] + load[1] + load[2], 150 + 2231);
}

}  // namespace
}  // namespace switchyard
