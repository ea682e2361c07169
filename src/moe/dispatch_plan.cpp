// A counting sort: one pass over the choices gives the size of each segment, another places the
// rows. A token chooses an expert at most once, so the rows of a segment are in token order.
#include "moe/dispatch_plan.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/buffer.hpp"

namespace switchyard {
namespace {

// Numbers the segments in send order: result[i * E + e] is the segment for rows from the i-th
// hosted virtual rank to expert e.
Buffer<std::int64_t> number_segments(const Layout& layout, Rank self) {
  const Interval<VirtualRank> hosted = layout.hosted(self);
  const std::int64_t E = layout.experts();
  Buffer<std::int64_t> segment(hosted.size() * E);
  std::int64_t next = 0;
  for (const Rank owner : layout.peers(self))
    for (const GroupId g : layout.groups_of(owner))
      for (const ExpertId e : layout.owned_experts(owner))
        for (const VirtualRank v : hosted_in_group(layout, self, g))
          segment[(v.value - hosted.first.value) * E + e.value] = next++;
  assert(next == std::ssize(segment));
  return segment;
}

// [peers, chunks] total rows of the segments of each chunk of each owner.
Buffer<std::int64_t> rows_by_chunk(const Layout& layout, Rank self,
                                   std::span<const std::int64_t> segment_rows,
                                   std::int64_t chunks) {
  Buffer<std::int64_t> rows;
  std::size_t segment = 0;
  for (const Rank owner : layout.peers(self)) {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      rows.push_back(0);
      for (std::int64_t n = segment_count(layout, self, owner, chunk, chunks); n > 0; --n)
        rows.back() += segment_rows[segment++];
    }
  }
  return rows;
}

}  // namespace

Interval<VirtualRank> hosted_in_group(const Layout& layout, Rank p, GroupId g) {
  const Interval<VirtualRank> hosted = layout.hosted(p), members = layout.members(g);
  const VirtualRank first = std::max(hosted.first, members.first);
  return {first, std::max(first, std::min(hosted.last, members.last))};
}

Interval<ExpertId> experts_of_chunk(const Layout& layout, Rank owner, std::int64_t chunk,
                                    std::int64_t chunks) {
  const Interval<ExpertId> owned = layout.owned_experts(owner);
  const auto border = [&](std::int64_t i) {
    return ExpertId{owned.first.value + i * owned.size() / chunks};
  };
  return {border(chunk), border(chunk + 1)};
}

std::int64_t segment_count(const Layout& layout, Rank source, Rank owner) {
  return segment_count(layout, source, owner, 0, 1);
}

std::int64_t segment_count(const Layout& layout, Rank source, Rank owner, std::int64_t chunk,
                           std::int64_t chunks) {
  const Interval<GroupId> groups = layout.groups_of(owner);
  assert(chunks == 1 || groups.size() == 1);
  std::int64_t virtual_ranks = 0;
  for (const GroupId g : groups) virtual_ranks += hosted_in_group(layout, source, g).size();
  return virtual_ranks * experts_of_chunk(layout, owner, chunk, chunks).size();
}

DispatchPlan plan_dispatch(const Layout& layout, Rank self,
                           std::span<const Selection* const> selections, std::int64_t chunks) {
  const std::int64_t E = layout.experts(), h = std::ssize(selections);
  assert(h == layout.hosted(self).size());
  const std::int64_t N = h == 0 ? 0 : selections[0]->tokens,
                     k = h == 0 ? 1 : selections[0]->choices;
  const Buffer<std::int64_t> segment = number_segments(layout, self);  // [h, E]
  // Calls f(segment, row, place) for each kept choice: `row` is the token's row of activations,
  // `place` its index in `position`.
  const auto for_each_kept = [&](auto f) {
    for (std::int64_t i = 0; i < h; ++i)
      for (std::int64_t t = 0; t < N; ++t)
        for (std::int64_t j = 0; j < k; ++j)
          if (selections[i]->fate[j * N + t] == Fate::kept)
            f(segment[i * E + selections[i]->expert[j * N + t]], i * N + t, (i * k + j) * N + t);
  };

  DispatchPlan plan;
  plan.choices = k;
  plan.segment_rows.assign(segment.size(), 0);
  for_each_kept([&](std::int64_t s, std::int64_t, std::int64_t) { ++plan.segment_rows[s]; });
  plan.send_rows = rows_by_chunk(layout, self, plan.segment_rows, chunks);

  Buffer<std::int64_t> next(segment.size());  // where each segment's next row goes in `rows`
  std::int64_t kept = 0;
  for (std::size_t s = 0; s < next.size(); ++s) {
    next[s] = kept;
    kept += plan.segment_rows[s];
  }
  plan.rows.resize(kept);
  plan.position.assign(h * k * N, -1);
  for_each_kept([&](std::int64_t s, std::int64_t row, std::int64_t place) {
    plan.position[place] = next[s];
    plan.rows[next[s]++] = row;
  });
  return plan;
}

}  // namespace switchyard
