#include "comm/canonical.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/philox.hpp"
#include "support/canonical_reference.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using Nodes = std::vector<TreeNode>;

// Values of very different sizes, so that a different order of additions shows in the bits.
template <class T>
T leaf_value(std::int64_t leaf, std::int64_t element) {
  const auto words =
      philox({static_cast<std::uint32_t>(leaf), static_cast<std::uint32_t>(element), 0, 0}, {7, 7});
  return std::ldexp(static_cast<T>(unit_double(words[0], words[1]) - 0.5),
                    static_cast<int>(words[2] % 24));
}

LeafPartition equal_shares(std::int64_t leaves, std::int64_t processes) {
  LeafPartition partition;
  for (std::int64_t p = 0; p <= processes; ++p) partition.first.push_back(p * leaves / processes);
  return partition;
}

std::int64_t first_leaf(TreeNode node) { return node.index << node.level; }
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
          ASSERT_EQ(first_leaf(node), next);
          next = last_leaf(node, leaves);
          ASSERT_GT(next, first_leaf(node));
          const TreeNode parent{node.level + 1, node.index / 2};
          const bool is_root = node.level == reference::root_level(leaves);
          const bool parent_fits = first_leaf(parent) >= first && last_leaf(parent, leaves) <= last;
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

TEST(CanonicalSum, IsTheTreesRootInEveryBit) {
  EXPECT_EQ(canonical_sum({}), 0);
  for (std::int64_t leaves = 1; leaves <= 64; ++leaves) {
    std::vector<double> values;
    for (std::int64_t leaf = 0; leaf < leaves; ++leaf)
      values.push_back(leaf_value<double>(leaf, 0));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(canonical_sum(values)),
              std::bit_cast<std::uint64_t>(reference::tree_sum(values)));
  }
}

// The leaves of one process, and the result that every process should get.
template <class T>
struct Case {
  std::vector<std::vector<T>> buffers;
  std::vector<std::span<T>> leaves;
  std::vector<T> expected;

  Case(const Comm& comm, const LeafPartition& partition, std::int64_t n) {
    const auto own = static_cast<std::size_t>(comm.rank().value);
    for (std::int64_t leaf = partition.first[own]; leaf < partition.first[own + 1]; ++leaf) {
      buffers.emplace_back();
      for (std::int64_t i = 0; i < n; ++i) buffers.back().push_back(leaf_value<T>(leaf, i));
    }
    for (std::vector<T>& buffer : buffers) leaves.emplace_back(buffer);
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<T> values;
      for (std::int64_t leaf = 0; leaf < partition.leaves(); ++leaf)
        values.push_back(leaf_value<T>(leaf, i));
      expected.push_back(values.empty() ? T{0} : reference::tree_sum(values));
    }
  }
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
void expect_tree_sums(const LeafPartition& partition, std::int64_t n, std::int64_t chunk) {
  Case<T> c(test_world(), partition, n);
  constexpr T guard = -12345;
  std::vector<T> result(static_cast<std::size_t>(n) + 1, guard);
  canonical_all_reduce<T>(test_world(), partition, c.leaves,
                          std::span(result).first(c.expected.size()), chunk);
  EXPECT_EQ(result.back(), guard);
  result.pop_back();
  EXPECT_TRUE(same_bits(result, c.expected))
      << partition.leaves() << " leaves, n " << n << ", chunk " << chunk;
}

TEST(CanonicalAllReduce, GivesTheTreesBitsOnEveryProcess) {
  for (const std::int64_t leaves : {4, 5, 7, 8, 16})
    for (const std::int64_t n : {0, 1, 3, 1000, 10007}) {
      expect_tree_sums<float>(equal_shares(leaves, test_world().size()), n, 4096);
      expect_tree_sums<double>(equal_shares(leaves, test_world().size()), n, 4096);
    }
}

TEST(CanonicalAllReduce, DoesNotDependOnTheChunk) {
  for (const std::int64_t chunk : {1, 2, 5, 999, 1000, 1001})
    expect_tree_sums<float>(equal_shares(7, test_world().size()), 1000, chunk);
}

TEST(CanonicalAllReduce, AllowsProcessesWithoutLeaves) {
  const int processes = test_world().size();
  for (const std::int64_t leaves : {0, 1, 2, 3})
    expect_tree_sums<float>(equal_shares(leaves, processes), 100, 64);
  LeafPartition all_on_the_last;
  all_on_the_last.first.assign(static_cast<std::size_t>(processes), 0);
  all_on_the_last.first.push_back(5);
  expect_tree_sums<float>(all_on_the_last, 100, 64);
}

TEST(CanonicalAllReduce, WritesIntoItsFirstLeaf) {
  const LeafPartition partition = equal_shares(7, test_world().size());
  Case<float> c(test_world(), partition, 1000);
  canonical_all_reduce<float>(test_world(), partition, c.leaves, c.leaves[0], 300);
  EXPECT_TRUE(same_bits(c.buffers[0], c.expected));
}

TEST(CanonicalAllReduce, AddsInAnotherOrderThanLeftToRight) {
  const LeafPartition partition = equal_shares(8, test_world().size());
  std::int64_t different = 0;
  const Case<float> c(test_world(), partition, 1000);
  for (std::int64_t i = 0; i < 1000; ++i) {
    float sum = 0;
    for (std::int64_t leaf = 0; leaf < 8; ++leaf) sum += leaf_value<float>(leaf, i);
    different += sum != c.expected[static_cast<std::size_t>(i)];
  }
  EXPECT_GT(different, 100) << "the values of these tests do not tell orders apart";
}

}  // namespace
}  // namespace switchyard
