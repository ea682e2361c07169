#include "data/sample_order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "data/draws.hpp"

namespace switchyard {
namespace {

TEST(Permutation, VisitsEveryNumberOnce) {
  for (std::uint64_t size = 1; size <= 300; ++size) {
    const Permutation permutation(RandomStream(3, Purpose::data_order, 0, size), size);
    std::vector<bool> seen(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t to = permutation(i);
      ASSERT_LT(to, size);
      ASSERT_FALSE(seen[to]) << size;
      seen[to] = true;
    }
  }
}

TEST(Permutation, VisitsEveryNumberOnceAroundPowersOfTwo) {
  for (const std::uint64_t size : {65535U, 65536U, 65537U, 100000U}) {
    const Permutation permutation(RandomStream(3, Purpose::data_order, 0, 0), size);
    std::vector<bool> seen(size);
    for (std::uint64_t i = 0; i < size; ++i) seen[permutation(i)] = true;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), static_cast<std::ptrdiff_t>(size));
  }
}

TEST(Permutation, StaysInsideVeryLargeRanges) {
  const std::uint64_t size = (std::uint64_t{1} << 40) + 1;
  const Permutation permutation(RandomStream(3, Purpose::data_order, 0, 0), size);
  for (std::uint64_t i = 0; i < 1000; ++i) EXPECT_LT(permutation(size - 1 - i), size);
}

TEST(Permutation, PutsEachElementAnywhere) {
  // Over 6,000 keys, each of 6 elements should be at each of 6 positions about 1,000 times (sd 29).
  std::array<std::array<int, 6>, 6> count{};
  for (std::uint64_t key = 0; key < 6000; ++key) {
    const Permutation permutation(RandomStream(key, Purpose::data_order, 0, 0), 6);
    for (std::size_t i = 0; i < 6; ++i) ++count[i][permutation(i)];
  }
  for (const auto& row : count)
    for (const int n : row) EXPECT_NEAR(n, 1000, 150);
}

TEST(Draws, AreUnbiasedAndReproducible) {
  const RandomStream stream(1, Purpose::data_offset, 0, 0);
  std::array<int, 3> count{};
  Draws draws(stream, 5), again(stream, 5);
  for (int i = 0; i < 3000; ++i) {
    const auto draw = draws.below(3);
    EXPECT_EQ(draw, again.below(3));
    ++count[draw];
  }
  for (const int n : count) EXPECT_NEAR(n, 1000, 130);
  // Half of all words are rejected here: a biased draw would favour values below 2^31.
  const std::uint64_t bound = (std::uint64_t{1} << 31) + 1;
  int low = 0;
  for (int i = 0; i < 1000; ++i) low += draws.below(bound) < bound / 2;
  EXPECT_NEAR(low, 500, 80);
}

TEST(SampleOrder, EveryEpochVisitsEverySegmentOnceAndStaysInTheStream) {
  constexpr std::int64_t tokens = 1000, n = 7;
  const auto order = SampleOrder::training(tokens, n, 42);
  EXPECT_EQ(order.segments(), (tokens - n + 1) / n);
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    std::set<std::int64_t> starts;
    for (std::int64_t i = 0; i < order.segments(); ++i)
      starts.insert(order.first_token(epoch * order.segments() + i));
    EXPECT_EQ(static_cast<std::int64_t>(starts.size()), order.segments());
    EXPECT_LT(*starts.begin(), n);
    EXPECT_LE(*starts.rbegin() + n, tokens);
    EXPECT_EQ(*starts.rbegin() - *starts.begin(), (order.segments() - 1) * n);  // none overlap
  }
}

TEST(SampleOrder, EpochsDifferInOffsetAndOrder) {
  const auto order = SampleOrder::training(100000, 50, 1);
  std::set<std::int64_t> offsets;
  std::vector<std::int64_t> first, second;
  for (std::int64_t epoch = 0; epoch < 30; ++epoch)
    offsets.insert(order.first_token(epoch * order.segments()) % 50);
  EXPECT_GT(offsets.size(), 10U);
  for (std::int64_t i = 0; i < 100; ++i) {
    first.push_back(order.first_token(i) / 50);
    second.push_back(order.first_token(order.segments() + i) / 50);
  }
  EXPECT_NE(first, second);
}

TEST(SampleOrder, IsAPureFunctionOfSeedAndSample) {
  const auto a = SampleOrder::training(5000, 13, 9), b = SampleOrder::training(5000, 13, 9),
             other = SampleOrder::training(5000, 13, 10);
  std::vector<std::int64_t> forward, backward, different;
  for (std::int64_t i = 0; i < 1000; ++i) forward.push_back(a.first_token(i));
  for (std::int64_t i = 999; i >= 0; --i) backward.insert(backward.begin(), b.first_token(i));
  for (std::int64_t i = 0; i < 1000; ++i) different.push_back(other.first_token(i));
  EXPECT_EQ(forward, backward);
  EXPECT_NE(forward, different);
}

// A different order would be as good, but not for a run that is continued by this version.
TEST(SampleOrder, IsWhatItWasWhenRunsBegan) {
  const auto order = SampleOrder::training(1000, 100, 7);
  std::vector<std::int64_t> starts;
  for (std::int64_t sample = 0; sample < 18; ++sample) starts.push_back(order.first_token(sample));
  EXPECT_EQ(starts,
            (std::vector<std::int64_t>{325, 525, 125, 725, 625, 225, 25, 425, 825,     // epoch 0
                                       136, 236, 536, 36, 436, 736, 636, 336, 836}));  // epoch 1
}

TEST(SampleOrder, ValidatesInOrderFromTheFirstToken) {
  const auto order = SampleOrder::validation(100, 30);
  EXPECT_EQ(order.segments(), 3);
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_EQ(order.first_token(i), 30 * i);
  EXPECT_EQ(SampleOrder::validation(30, 30).segments(), 1);
}

TEST(SampleOrder, HasNoSegmentWhereTheStreamIsTooShort) {
  EXPECT_EQ(SampleOrder::training(0, 10, 1).segments(), 0);
  EXPECT_EQ(SampleOrder::training(10, 10, 1).segments(), 0);  // no room for an offset
  EXPECT_EQ(SampleOrder::training(19, 10, 1).segments(), 1);
  EXPECT_EQ(SampleOrder::validation(9, 10).segments(), 0);
}

}  // namespace
}  // namespace switchyard
