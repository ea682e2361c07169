#include "comm/layout.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.hpp"

namespace switchyard {
namespace {

template <class I>
std::vector<std::int64_t> numbers(Interval<I> interval) {
  std::vector<std::int64_t> result;
  for (const I i : interval) result.push_back(i.value);
  return result;
}

using Numbers = std::vector<std::int64_t>;

TEST(Layout, SharesOutTheWorkedExample) {
  const Layout two(4, 2, 1, 4);
  EXPECT_EQ(numbers(two.hosted(Rank{0})), (Numbers{0, 1}));
  EXPECT_EQ(numbers(two.hosted(Rank{1})), (Numbers{2, 3}));
  EXPECT_EQ(numbers(two.owned_experts(Rank{0})), (Numbers{0, 1}));
  EXPECT_EQ(numbers(two.owned_experts(Rank{1})), (Numbers{2, 3}));

  const Layout three(4, 3, 1, 4);
  EXPECT_EQ(numbers(three.hosted(Rank{0})), (Numbers{0}));
  EXPECT_EQ(numbers(three.hosted(Rank{1})), (Numbers{1}));
  EXPECT_EQ(numbers(three.hosted(Rank{2})), (Numbers{2, 3}));
  EXPECT_EQ(numbers(three.owned_experts(Rank{2})), (Numbers{2, 3}));
}

TEST(Layout, SharesEightExpertsOnThreeProcessesAsTwoThreeThree) {
  const Layout layout(8, 3, 1, 8);
  EXPECT_EQ(numbers(layout.owned_experts(Rank{0})), (Numbers{0, 1}));
  EXPECT_EQ(numbers(layout.owned_experts(Rank{1})), (Numbers{2, 3, 4}));
  EXPECT_EQ(numbers(layout.owned_experts(Rank{2})), (Numbers{5, 6, 7}));
}

TEST(Layout, SpreadsAGroupOverItsProcesses) {
  const Layout layout(8, 4, 2, 3);  // groups {v0…v3} on p0 p1 and {v4…v7} on p2 p3
  EXPECT_EQ(numbers(layout.processes_of(GroupId{1})), (Numbers{2, 3}));
  EXPECT_EQ(numbers(layout.groups_of(Rank{3})), (Numbers{1}));
  EXPECT_EQ(numbers(layout.owned_experts(Rank{2})), (Numbers{0}));
  EXPECT_EQ(numbers(layout.owned_experts(Rank{3})), (Numbers{1, 2}));
  EXPECT_EQ(layout.owner(ExpertId{2}, GroupId{0}), Rank{1});
}

TEST(Layout, StoresAnExpertOnceForSeveralGroupsOfOneProcess) {
  const Layout layout(8, 2, 4, 3);
  EXPECT_EQ(numbers(layout.groups_of(Rank{1})), (Numbers{2, 3}));
  EXPECT_EQ(numbers(layout.owned_experts(Rank{1})), (Numbers{0, 1, 2}));
  EXPECT_EQ(layout.owner(ExpertId{0}, GroupId{3}), Rank{1});
}

bool allowed(int processes, int groups) {
  return groups == 1 || processes % groups == 0 || groups % processes == 0;
}

// Calls f with every layout of up to 64 virtual ranks.
template <class F>
void for_each_layout(F f) {
  for (int v = 1; v <= 64; ++v)
    for (int g = 1; g <= v; ++g)
      for (int r = 1; r <= v && v % g == 0; ++r)
        for (const int e : {0, 1, 2, 3, 8, 64})
          if (allowed(r, g)) f(Layout(v, r, g, e));
}

TEST(Layout, HostsEachVirtualRankOnce) {
  for_each_layout([](const Layout& layout) {
    std::int64_t next = 0;
    for (std::int64_t p = 0; p < layout.processes(); ++p) {
      ASSERT_EQ(layout.hosted(Rank{p}).first.value, next);
      ASSERT_FALSE(layout.hosted(Rank{p}).empty());
      for (const VirtualRank v : layout.hosted(Rank{p})) ASSERT_EQ(layout.host(v), Rank{p});
      next = layout.hosted(Rank{p}).last.value;
    }
    ASSERT_EQ(next, layout.virtual_ranks());
  });
}

TEST(Layout, PutsEachVirtualRankIntoOneGroupOfEqualSize) {
  for_each_layout([](const Layout& layout) {
    for (std::int64_t g = 0; g < layout.groups(); ++g) {
      const Interval<VirtualRank> members = layout.members(GroupId{g});
      ASSERT_EQ(members.size() * layout.groups(), layout.virtual_ranks());
      for (const VirtualRank v : members) {
        ASSERT_EQ(layout.group(v), GroupId{g});
        ASSERT_TRUE(layout.processes_of(GroupId{g}).contains(layout.host(v)));
        ASSERT_TRUE(layout.groups_of(layout.host(v)).contains(GroupId{g}));
      }
    }
  });
}

TEST(Layout, GivesEachExpertOneOwnerInsideEachGroup) {
  for_each_layout([](const Layout& layout) {
    std::vector<int> owners(static_cast<std::size_t>(layout.experts() * layout.groups()));
    for (std::int64_t p = 0; p < layout.processes(); ++p)
      for (const ExpertId e : layout.owned_experts(Rank{p}))
        for (const GroupId g : layout.groups_of(Rank{p})) {
          ASSERT_EQ(layout.owner(e, g), Rank{p});
          ASSERT_TRUE(layout.processes_of(g).contains(Rank{p}));
          ++owners[static_cast<std::size_t>(e.value * layout.groups() + g.value)];
        }
    for (const int count : owners) ASSERT_EQ(count, 1);
  });
}

ExitCode code_of(int v, int r, int g, int e) {
  try {
    Layout(v, r, g, e);
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::done;
}

TEST(Layout, RefusesWhatCannotBeSharedOut) {
  EXPECT_EQ(code_of(4, 5, 1, 4), ExitCode::usage);  // more processes than virtual ranks
  EXPECT_EQ(code_of(4, 0, 1, 4), ExitCode::usage);
  EXPECT_EQ(code_of(0, 1, 1, 4), ExitCode::usage);
  EXPECT_EQ(code_of(6, 2, 4, 4), ExitCode::usage);  // 4 does not divide 6
  EXPECT_EQ(code_of(8, 3, 2, 4), ExitCode::usage);  // 3 processes, 2 groups
  EXPECT_EQ(code_of(4, 2, 1, -1), ExitCode::usage);
  EXPECT_EQ(code_of(8, 6, 2, 4), ExitCode::done);
}

}  // namespace
}  // namespace switchyard
