#include "comm/canonical.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/philox.hpp"
#include "support/canonical_reference.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

// Values of very different sizes, so that a different order of additions shows in the bits.
template <class T>
T leaf_value(std::int64_t leaf, std::int64_t element) {
  const auto words =
      philox({static_cast<std::uint32_t>(leaf), static_cast<std::uint32_t>(element), 0, 0}, {7, 7});
  return std::ldexp(static_cast<T>(unit_double(words[0], words[1]) - 0.5),
                    static_cast<int>(words[2] % 24));
}

// The leaves of one process, and the sum that every process should get.
template <class T>
struct Case {
  std::vector<std::vector<T>> buffers;
  std::vector<std::span<T>> leaves;
  std::vector<T> expected;

  Case(const Comm& comm, const LeafPartition& partition, std::int64_t n) {
    for (std::int64_t leaf = partition.first(comm.rank()); leaf < partition.last(comm.rank());
         ++leaf) {
      buffers.emplace_back();
      for (std::int64_t i = 0; i < n; ++i) buffers.back().push_back(leaf_value<T>(leaf, i));
    }
    for (std::vector<T>& buffer : buffers) leaves.emplace_back(buffer);
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<T> values;
      for (std::int64_t leaf = 0; leaf < partition.leaves(); ++leaf)
        values.push_back(leaf_value<T>(leaf, i));
      expected.push_back(reference::tree_sum(values));
    }
  }

  bool holds_the_sum() const {
    return expected.empty() ||
           std::memcmp(buffers[0].data(), expected.data(), expected.size() * sizeof(T)) == 0;
  }
};

// Some of these lengths are summed by the tree, some by halving or directly.
constexpr std::int64_t lengths[] = {0, 1, 3, 1000, 10007, 70000};

template <class T>
void expect_tree_sums(std::int64_t leaves) {
  const LeafPartition partition(leaves, test_world().size());
  for (const std::int64_t n : lengths) {
    Case<T> c(test_world(), partition, n);
    canonical_all_reduce<T>(test_world(), partition, c.leaves);
    EXPECT_TRUE(c.holds_the_sum()) << leaves << " leaves, n " << n;
  }
}

TEST(CanonicalSum, HasTheTreesBitsOnEveryProcess) {
  for (const std::int64_t leaves : {4, 5, 7, 8, 16}) {
    expect_tree_sums<float>(leaves);
    expect_tree_sums<double>(leaves);
  }
}

TEST(CanonicalSum, DoesNotDependOnTheChunk) {
  const LeafPartition partition(7, test_world().size());
  for (const std::int64_t chunk : {7, 50, 99, 100, 101, 5000}) {
    Case<float> c(test_world(), partition, 100);
    CanonicalSum<float>(test_world(), partition, 100, chunk).all_reduce(c.leaves);
    EXPECT_TRUE(c.holds_the_sum()) << chunk;
  }
}

TEST(CanonicalSum, IsMadeOnceAndUsedOften) {
  const LeafPartition partition(8, test_world().size());
  CanonicalSum<float> sum(test_world(), partition, 20000, 6000);
  for (int i = 0; i < 3; ++i) {
    Case<float> c(test_world(), partition, 20000);
    sum.all_reduce(c.leaves);
    EXPECT_TRUE(c.holds_the_sum());
  }
}

// The processes learn at different times that elements are final, and one asks for news more often.
TEST(CanonicalSum, TravelsWhileOtherElementsAreStillComputed) {
  constexpr std::int64_t n = 50000;
  const LeafPartition partition(8, test_world().size());
  CanonicalSum<float> sum(test_world(), partition, n, 4096);
  for (int repeat = 0; repeat < 5; ++repeat) {
    Case<float> c(test_world(), partition, n);
    const std::vector<std::vector<float>> finals = c.buffers;
    for (std::vector<float>& buffer : c.buffers) std::fill(buffer.begin(), buffer.end(), -1.0f);
    sum.begin(c.leaves);
    const std::int64_t step = 3000 + 1000 * test_world().rank().value;
    for (std::int64_t first = n; first > 0;) {
      const std::int64_t next = std::max<std::int64_t>(first - step, 0);
      for (std::size_t i = 0; i < finals.size(); ++i)
        std::copy(finals[i].begin() + next, finals[i].begin() + first, c.buffers[i].begin() + next);
      first = next;
      sum.final_from(first);
      for (std::int64_t i = test_world().rank().value; i > 0; --i) sum.advance();
    }
    sum.finish();
    EXPECT_TRUE(c.holds_the_sum());
  }
}

TEST(CanonicalSum, TakesRoomForAFewChunksOnly) {
  for (const std::int64_t processes : {2, 3, 16, 1024}) {
    const LeafPartition partition(1024, processes);
    const auto room = [&](std::int64_t length) {
      return room_of_sum(partition, Rank{processes / 2}, length, 4);
    };
    EXPECT_GT(room(std::int64_t{1} << 26), 0);
    EXPECT_EQ(room(std::int64_t{1} << 26), room(std::int64_t{1} << 32));
  }
}

TEST(CanonicalSum, AddsInAnotherOrderThanLeftToRight) {
  std::int64_t different = 0;
  const Case<float> c(test_world(), {8, test_world().size()}, 1000);
  for (std::int64_t i = 0; i < 1000; ++i) {
    float sum = 0;
    for (std::int64_t leaf = 0; leaf < 8; ++leaf) sum += leaf_value<float>(leaf, i);
    different += sum != c.expected[static_cast<std::size_t>(i)];
  }
  EXPECT_GT(different, 100) << "the values of these tests do not tell orders apart";
}

}  // namespace
}  // namespace switchyard
