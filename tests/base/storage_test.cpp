#include "base/storage.hpp"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>
#include <vector>

namespace switchyard {
namespace {

struct Block {
  std::byte* place;
  std::size_t bytes;
  int mark;
};

Block take(std::size_t bytes, int mark = 0) {
  const Block block{static_cast<std::byte*>(allocate_storage(bytes)), bytes, mark};
  std::memset(block.place, mark, bytes);
  return block;
}

void give_back(const Block& block) { free_storage(block.place, block.bytes); }

bool is_whole(const Block& block) {
  return std::all_of(block.place, block.place + block.bytes,
                     [&](std::byte b) { return b == static_cast<std::byte>(block.mark); });
}

// Allocates and frees blocks in random order; returns whether each kept what was written to it.
bool all_stay_whole(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Block> blocks;
  bool whole = true;
  for (int i = 0; i < 2000; ++i) {
    if (blocks.size() < 20 || random() % 2) {
      blocks.push_back(take(random() % 5000, static_cast<int>(random() % 256)));
      whole &= reinterpret_cast<std::uintptr_t>(blocks.back().place) % 64 == 0;
      continue;
    }
    std::swap(blocks[random() % blocks.size()], blocks.back());
    whole &= is_whole(blocks.back());
    give_back(blocks.back());
    blocks.pop_back();
  }
  for (const Block& block : blocks) {
    whole &= is_whole(block);
    give_back(block);
  }
  return whole;
}

TEST(Storage, KeepsBlocksAlignedAndApart) { EXPECT_TRUE(all_stay_whole(1)); }

TEST(Storage, ServesThreadsTogether) {
  bool whole[4];
#pragma omp parallel for num_threads(4)
  for (unsigned i = 0; i < 4; ++i) whole[i] = all_stay_whole(10 + i);
  for (const bool each : whole) EXPECT_TRUE(each);
}

TEST(Storage, JoinsFreedNeighbours) {
  for (const std::vector<int>& order : {std::vector{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}}) {
    const Block blocks[] = {take(1'000'000), take(1'000'000), take(1'000'000)};
    for (const int i : order) give_back(blocks[i]);
    const Block all = take(3'000'000);
    EXPECT_EQ(all.place, blocks[0].place);
    give_back(all);
  }
}

TEST(Storage, TakesTheSmallestPlaceThatServes) {
  const Block large = take(8'000'000), between = take(5'000'000), small = take(4'000'000),
              last = take(5'000'000);
  give_back(large);
  give_back(small);
  const Block fits = take(3'500'000);
  EXPECT_EQ(fits.place, small.place);
  for (const Block& block : {between, last, fits}) give_back(block);
}

TEST(Storage, UsesSmallPlacesAgain) {
  const Block first = take(100);
  give_back(first);
  const Block again = take(90);
  EXPECT_EQ(again.place, first.place);
  give_back(again);
}

// Allocates like activations do: layer by layer, freed in reverse, with different sizes in each
// step.
TEST(Storage, LosesLittleBetweenStepsOfOtherSizes) {
  std::mt19937 random(3);
  const Block first = take(200'000);
  const std::byte* const base = first.place;
  give_back(first);
  std::size_t most = 0, extent = 0;
  for (int step = 0; step < 50; ++step) {
    std::vector<Block> blocks;
    std::size_t held = 0;
    for (int layer = 0; layer < 24; ++layer) {
      const Block passing = take(100'000 + random() % 50'000);
      blocks.push_back(take(200'000 + random() % 100'000));
      extent = std::max<std::size_t>(extent, blocks.back().place + blocks.back().bytes - base);
      held += blocks.back().bytes;
      most = std::max(most, held + passing.bytes);
      give_back(passing);
    }
    for (; !blocks.empty(); blocks.pop_back()) give_back(blocks.back());
  }
  EXPECT_LT(static_cast<double>(extent), 1.15 * static_cast<double>(most));
}

TEST(Storage, ThrowsWhereThereIsNoMore) {
  EXPECT_THROW(allocate_storage(std::size_t{1} << 60), std::bad_alloc);
  EXPECT_TRUE(all_stay_whole(2));
}

}  // namespace
}  // namespace switchyard
