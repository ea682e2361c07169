#include "moe/dispatch_plan.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <tuple>

#include "moe/capacity.hpp"
#include "moe/routings.hpp"

namespace switchyard {
namespace {

using testing::ElementsAre;

TEST(Capacity, IsTheTruncatedShareOfTheGroup) {
  EXPECT_EQ(expert_capacity(1024, 1.25, 128, 4), 10);
  EXPECT_EQ(expert_capacity(1024, 2, 128, 4), 16);
  EXPECT_EQ(expert_capacity(8192, 1.25, 128, 4), 80);
  EXPECT_EQ(expert_capacity(512, 1.25, 8, 4), 80);
  EXPECT_EQ(expert_capacity(512, 1, 8, 4), 64);
  EXPECT_EQ(expert_capacity(100, 1.25, 8, 4), 15);  // of 15.6
}

TEST(Capacity, IsAtMostTheGroupAndAtLeastTheMinimum) {
  EXPECT_EQ(expert_capacity(64, 1, 32, 4), 4);
  EXPECT_EQ(expert_capacity(64, 1, 32, 0), 2);
  EXPECT_EQ(expert_capacity(16, 3, 2, 4), 16);
  EXPECT_EQ(expert_capacity(2, 1, 2, 4), 4);
  EXPECT_EQ(expert_capacity(64, 0, 8, 0), 0);
}

DispatchPlan plan_of(const Layout& layout, Rank self, const std::vector<Selection>& selections) {
  return plan_dispatch(layout, self, pointers(selections));
}

TEST(DispatchPlan, IsTheWorkedExample) {
  const Layout layout(2, 2, 1, 4);
  const DispatchPlan plan = plan_of(layout, Rank{0}, {selection_of({2, 0, 2, 1}, 1)});
  EXPECT_THAT(plan.rows, ElementsAre(1, 3, 0));
  EXPECT_THAT(plan.position, ElementsAre(2, 0, -1, 1));
  EXPECT_THAT(plan.send_rows, ElementsAre(2, 1));
  EXPECT_THAT(plan.segment_rows, ElementsAre(1, 1, 1, 0));
}

TEST(DispatchPlan, KeepsTokenOrderInEachSegmentWhateverTheProcess) {
  const Layout layout(2, 1, 1, 2);
  const DispatchPlan plan = plan_of(
      layout, Rank{0}, {selection_of({1, 1, -1, 1, 0}, 2), selection_of({1, 0, 0, 0, 1}, 2)});
  EXPECT_THAT(plan.rows, ElementsAre(4, 6, 7, 0, 1, 5, 9));  // e0: v0, v1; e1: v0, v1
}

TEST(DispatchPlan, SendsATokenToEachExpertThatKeptIt) {
  const Layout layout(1, 1, 1, 3);
  Selection selection = Selection::of_nothing(2, 3);
  selection.expert = {2, 0, 2, 0, 2, -1};
  selection.fate = {Fate::kept, Fate::dropped, Fate::kept, Fate::kept, Fate::kept, Fate::none};
  const DispatchPlan plan = plan_of(layout, Rank{0}, {selection});
  EXPECT_THAT(plan.rows, ElementsAre(0, 0, 1, 2));  // e0: t0; e2: t0, t1, t2
  EXPECT_EQ(plan.choices, 2);
  EXPECT_THAT(plan.position, ElementsAre(1, -1, 3, 0, 2, -1));
}

struct Shape {
  int V, R, G, E;
};

// Compares with a plan made by sorting the kept rows by their key.
void expect_sorted_plan(const Shape& s, Rank self, std::int64_t N, std::int64_t C) {
  const Layout layout(s.V, s.R, s.G, s.E);
  const std::vector<Selection> selections = hosted_selections(layout, self, N, C);
  const DispatchPlan plan = plan_of(layout, self, selections);
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t>;
  std::vector<std::pair<Key, std::int64_t>> kept;
  const Interval<Rank> peers = layout.peers(self);
  std::vector<std::int64_t> send_rows(peers.size(), 0);
  const VirtualRank first = layout.hosted(self).first;
  for (const VirtualRank v : layout.hosted(self)) {
    const auto& experts = selections[v.value - first.value].expert;
    for (std::int64_t t = 0; t < N; ++t) {
      const std::int64_t earlier = std::count(experts.begin(), experts.begin() + t, experts[t]);
      if (experts[t] < 0 || earlier >= C) continue;
      const ExpertId e{experts[t]};
      const GroupId g = layout.group(v);
      const Rank owner = layout.owner(e, g);
      kept.push_back(
          {{owner.value, g.value, e.value, v.value, t}, (v.value - first.value) * N + t});
      ++send_rows[owner.value - peers.first.value];
    }
  }
  std::sort(kept.begin(), kept.end());
  std::vector<std::int64_t> rows;
  for (const auto& [key, row] : kept) rows.push_back(row);
  EXPECT_EQ(plan.rows, rows);
  EXPECT_EQ(plan.send_rows, send_rows);
  std::vector<std::int64_t> position(selections.size() * N, -1);
  for (std::size_t i = 0; i < rows.size(); ++i) position[rows[i]] = i;
  EXPECT_EQ(plan.position, position);
}

TEST(DispatchPlan, SortsKeptRowsByOwnerGroupExpertVirtualRankToken) {
  for (const Shape s : {Shape{1, 1, 1, 3}, Shape{3, 3, 1, 8}, Shape{4, 3, 1, 8}, Shape{4, 3, 1, 2},
                        Shape{4, 4, 1, 1}, Shape{4, 2, 2, 3}, Shape{4, 4, 2, 5}, Shape{8, 2, 4, 3},
                        Shape{4, 1, 4, 2}})
    for (std::int64_t p = 0; p < s.R; ++p)
      for (const std::int64_t C : {0, 1, 3, 50}) expect_sorted_plan(s, Rank{p}, 50, C);
}

}  // namespace
}  // namespace switchyard
