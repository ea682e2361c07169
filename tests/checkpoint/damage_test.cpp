// Every kind of damage to a small checkpoint is detected, both by verification and by loading, and
// what is in memory does not change.
#include <gtest/gtest.h>

#include <fstream>

#include "checkpoint/digest.hpp"
#include "checkpoint/load.hpp"
#include "checkpoint/save.hpp"
#include "checkpoint/store.hpp"
#include "support/errors.hpp"
#include "support/mpi_main.hpp"
#include "support/scratch_directory.hpp"
#include "support/small_state.hpp"

namespace switchyard {
namespace {

using test::fails_with;
using test::SmallState;

class DamageTest : public testing::Test {
 protected:
  DamageTest() : layout_(1, 1, 1, 1), state_(layout_, Rank{0}, 1), live_(layout_, Rank{0}, 2) {
    directory_ = save(1);
  }

  std::string save(std::int64_t step) {
    state_.fill(static_cast<std::uint32_t>(step));
    return save_checkpoint(env_, test_world(), layout_, scratch_.path(), {.step = step},
                           state_.tensors());
  }
  std::string read(const std::string& name) const {
    return read_file(env_, directory_ + "/" + name, 1 << 20);
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << bytes;
  }
  // Changes the file in place: truncating and rewriting it would cost a disk write each time.
  void poke(const std::string& name, std::size_t at, char byte) const {
    std::fstream file(directory_ + "/" + name, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at)).put(byte);
  }
  void expect_noticed(const std::string& file, const std::string& what) {
    const std::string named = directory_ + (file.empty() ? "" : "/" + file);
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, named, [&] {
      verify_checkpoint(env_, directory_);
    })) << what;
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, named, [&] {
      load_checkpoint(test_world(), open_valid(env_, test_world(), directory_), live_.tensors());
    })) << what;
    EXPECT_EQ(live_, untouched_) << what;
  }

  test::ScratchDirectory scratch_;
  PosixEnv env_;
  Layout layout_;
  SmallState state_, live_;
  const SmallState untouched_{layout_, Rank{0}, 2};
  std::string directory_;
};

TEST_F(DamageTest, IsNoticedInEveryBit) {
  for (const std::string file : {"MANIFEST", "shard-00000.bin"}) {
    const std::string whole = read(file);
    for (std::size_t bit = 0; bit < 8 * whole.size() && !HasFailure(); ++bit) {
      poke(file, bit / 8, static_cast<char>(whole[bit / 8] ^ (1 << bit % 8)));
      expect_noticed(file, "bit " + std::to_string(bit));
      poke(file, bit / 8, whole[bit / 8]);
    }
  }
  load_checkpoint(test_world(), open_valid(env_, test_world(), directory_), live_.tensors());
  EXPECT_EQ(live_, state_);
}

TEST_F(DamageTest, IsNoticedInEveryLength) {
  for (const std::string file : {"MANIFEST", "shard-00000.bin"}) {
    const std::string whole = read(file);
    for (std::size_t size = whole.size(); size-- > 0 && !HasFailure();) {
      env_.truncate(directory_ + "/" + file, static_cast<std::int64_t>(size));
      expect_noticed(file, "size " + std::to_string(size));
    }
    for (const std::size_t more : {1, 64, 4096}) {
      write(file, whole + std::string(more, '\0'));
      expect_noticed(file, "appended " + std::to_string(more));
    }
    write(file, whole);
  }
}

TEST_F(DamageTest, IsNoticedInZeroedBlocks) {
  for (const std::string file : {"MANIFEST", "shard-00000.bin"}) {
    const std::string whole = read(file);
    for (std::size_t at = 0; at < whole.size(); at += 512) {
      std::string bytes = whole;
      const std::size_t size = std::min<std::size_t>(512, whole.size() - at);
      bytes.replace(at, size, size, '\0');
      write(file, bytes);
      expect_noticed(file, "block at " + std::to_string(at));
    }
    write(file, whole);
  }
}

TEST_F(DamageTest, IsNoticedInMissingAndForeignFiles) {
  const std::string shard = "shard-00000.bin";
  const std::string mine = read(shard), manifest = read("MANIFEST");
  env_.remove_file(directory_ + "/" + shard);
  expect_noticed(shard, "missing shard");
  const std::string older = directory_;
  directory_ = save(2);
  const std::string newer = read(shard);
  directory_ = older;
  ASSERT_EQ(newer.size(), mine.size());
  write(shard, newer);
  expect_noticed(shard, "shard of another step");
  write(shard, mine);
  env_.remove_file(directory_ + "/MANIFEST");
  expect_noticed("", "missing manifest");
  write("MANIFEST", manifest);
  EXPECT_EQ(test::error_of([&] { verify_checkpoint(env_, directory_); }), "");
}

// Damage that occurs after verification and before the data are in place.
TEST_F(DamageTest, IsNoticedInEveryBitThatChangesBetweenCheckingAndLoading) {
  const std::string shard = "shard-00000.bin", whole = read(shard);
  for (std::size_t byte = 0; byte < whole.size() && !HasFailure(); ++byte) {
    const CheckpointReader reader = open_valid(env_, test_world(), directory_);
    poke(shard, byte, static_cast<char>(whole[byte] ^ 8));
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, directory_ + "/" + shard + " is damaged", [&] {
      load_checkpoint(test_world(), reader, live_.tensors());
    })) << byte;
    poke(shard, byte, whole[byte]);
  }
}

TEST_F(DamageTest, KeepsDigestsFromBeingPrinted) {
  std::string bytes = read("shard-00000.bin");
  bytes[100] ^= 1;
  write("shard-00000.bin", bytes);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "shard-00000.bin is damaged between bytes", [&] {
    digest_checkpoint({env_, directory_});
  }));
}

}  // namespace
}  // namespace switchyard
