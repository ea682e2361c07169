// Counting, not sorting: a segment's size follows from the demand and the capacity, its rows from
// one walk over the tokens.
#include "moe/dispatch_plan.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace switchyard {
namespace {

// Numbers the segments in send order: result[i * E + e] is the segment of rows from the i-th hosted
// virtual rank for expert e.
std::vector<std::int64_t> number_segments(const Layout& layout, Rank self) {
  const Interval<VirtualRank> hosted = layout.hosted(self);
  const std::int64_t E = layout.experts();
  std::vector<std::int64_t> segment(hosted.size() * E);
  std::int64_t next = 0;
  for (Rank owner{0}; owner.value < layout.processes(); ++owner)
    for (const GroupId g : layout.groups_of(owner))
      for (const ExpertId e : layout.owned_experts(owner))
        for (const VirtualRank v : hosted_in_group(layout, self, g))
          segment[(v.value - hosted.first.value) * E + e.value] = next++;
  assert(next == std::ssize(segment));
  return segment;
}

// [R] sums of each owner's segments.
std::vector<std::int64_t> rows_by_owner(const Layout& layout, Rank self,
                                        std::span<const std::int64_t> segment_rows) {
  std::vector<std::int64_t> rows(layout.processes(), 0);
  std::size_t segment = 0;
  for (Rank owner{0}; owner.value < layout.processes(); ++owner)
    for (std::int64_t n = segment_count(layout, self, owner); n > 0; --n)
      rows[owner.value] += segment_rows[segment++];
  return rows;
}

}  // namespace

std::int64_t expert_capacity(std::int64_t tokens, double capacity_factor, std::int64_t experts,
                             std::int64_t min_capacity) {
  const double share = static_cast<double>(tokens) * capacity_factor / static_cast<double>(experts);
  const double capacity = std::min(static_cast<double>(tokens), std::floor(share));
  return std::max(static_cast<std::int64_t>(capacity), min_capacity);
}

Interval<VirtualRank> hosted_in_group(const Layout& layout, Rank p, GroupId g) {
  const Interval<VirtualRank> hosted = layout.hosted(p), members = layout.members(g);
  const VirtualRank first = std::max(hosted.first, members.first);
  return {first, std::max(first, std::min(hosted.last, members.last))};
}

std::int64_t segment_count(const Layout& layout, Rank source, Rank owner) {
  std::int64_t virtual_ranks = 0;
  for (const GroupId g : layout.groups_of(owner))
    virtual_ranks += hosted_in_group(layout, source, g).size();
  return virtual_ranks * layout.owned_experts(owner).size();
}

DispatchPlan plan_dispatch(const Layout& layout, Rank self, std::span<Routing> routings,
                           std::int64_t capacity) {
  const std::int64_t E = layout.experts(), h = std::ssize(routings);
  assert(h == layout.hosted(self).size() && capacity >= 0);
  const std::int64_t N = h == 0 ? 0 : std::ssize(routings[0].expert);
  const std::vector<std::int64_t> segment = number_segments(layout, self);  // [h, E]

  DispatchPlan plan;
  plan.segment_rows.assign(segment.size(), 0);
  for (std::int64_t i = 0; i < h; ++i) {
    RoutingStats& stats = routings[i].stats;
    stats.capacity = capacity;
    stats.dropped_tokens = 0;
    for (std::int64_t e = 0; e < E; ++e) {
      const std::int64_t wanted = stats.tokens_per_expert[e], kept = std::min(wanted, capacity);
      plan.segment_rows[segment[i * E + e]] = kept;
      stats.dropped_tokens += wanted - kept;
    }
  }
  plan.send_rows = rows_by_owner(layout, self, plan.segment_rows);

  std::vector<std::int64_t> next(segment.size());  // the position of each segment's next row
  std::int64_t kept = 0;
  for (std::size_t s = 0; s < next.size(); ++s) {
    next[s] = kept;
    kept += plan.segment_rows[s];
  }
  plan.rows.resize(kept);
  plan.position.assign(h * N, -1);
  for (std::int64_t i = 0; i < h; ++i) {
    std::vector<std::int64_t> slots(E, 0);
    for (std::int64_t t = 0; t < N; ++t) {
      const std::int32_t e = routings[i].expert[t];
      if (e < 0 || slots[e] == capacity) continue;
      ++slots[e];
      const std::int64_t position = next[segment[i * E + e]]++;
      plan.rows[position] = i * N + t;
      plan.position[i * N + t] = position;
    }
  }
  return plan;
}

}  // namespace switchyard
