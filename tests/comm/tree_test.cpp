#include "comm/tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/philox.hpp"
#include "support/canonical_reference.hpp"

namespace switchyard {
namespace {

using Nodes = std::vector<TreeNode>;

std::int64_t last_leaf(TreeNode node, std::int64_t leaves) {
  return std::min((node.index + 1) << node.level, leaves);
}

TEST(Cover, IsThatOfTheWorkedExample) {
  EXPECT_EQ(cover(0, 2, 5), (Nodes{{1, 0}}));
  EXPECT_EQ(cover(2, 5, 5), (Nodes{{1, 1}, {2, 1}}));
  EXPECT_EQ(cover(0, 5, 5), (Nodes{{3, 0}}));
  EXPECT_EQ(cover(3, 3, 5), Nodes{});
}

TEST(Cover, HoldsEachLeafOnceInMaximalNodes) {
  for (std::int64_t leaves = 1; leaves <= 64; ++leaves)
    for (std::int64_t first = 0; first <= leaves; ++first)
      for (std::int64_t last = first; last <= leaves; ++last) {
        std::int64_t next = first;
        for (const TreeNode node : cover(first, last, leaves)) {
          ASSERT_EQ(node.first_leaf(), next);
          next = last_leaf(node, leaves);
          ASSERT_GT(next, node.first_leaf());
          const TreeNode parent = node.parent();
          const bool is_root = node.level == reference::root_level(leaves);
          const bool parent_fits =
              parent.first_leaf() >= first && last_leaf(parent, leaves) <= last;
          ASSERT_TRUE(is_root || !parent_fits) << first << ' ' << last << ' ' << leaves;
        }
        ASSERT_EQ(next, last);
      }
}

TEST(Cover, IsOneNodeWhereProcessesHostEqualPowersOfTwo) {
  for (std::int64_t leaves = 1; leaves <= 64; ++leaves)
    for (std::int64_t share = 1; share <= leaves; share *= 2)
      for (std::int64_t first = 0; leaves % share == 0 && first < leaves; first += share)
        ASSERT_EQ(cover(first, first + share, leaves).size(), 1u);
}

// Values of very different sizes, so that a different order of additions shows in the bits.
double leaf_value(std::int64_t leaf) {
  const auto words = philox({static_cast<std::uint32_t>(leaf), 0, 0, 0}, {7, 7});
  return std::ldexp(unit_double(words[0], words[1]) - 0.5, static_cast<int>(words[2] % 24));
}

TEST(CanonicalSumOfValues, IsTheTreesRootInEveryBit) {
  EXPECT_EQ(canonical_sum({}), 0);
  for (std::int64_t leaves = 1; leaves <= 64; ++leaves) {
    std::vector<double> values;
    for (std::int64_t leaf = 0; leaf < leaves; ++leaf) values.push_back(leaf_value(leaf));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(canonical_sum(values)),
              std::bit_cast<std::uint64_t>(reference::tree_sum(values)));
  }
}

TEST(LeafPartition, HasEachLeafOnOneProcess) {
  for (std::int64_t leaves = 1; leaves <= 40; ++leaves)
    for (std::int64_t processes = 1; processes <= leaves; ++processes) {
      const LeafPartition partition(leaves, processes);
      std::int64_t next = 0;
      for (Rank p{0}; p.value < processes; ++p) {
        ASSERT_EQ(partition.first(p), next);
        ASSERT_GT(partition.last(p), next);
        for (; next < partition.last(p); ++next) ASSERT_EQ(partition.owner(next), p);
      }
      ASSERT_EQ(next, leaves);
    }
}

}  // namespace
}  // namespace switchyard
