// Which rows go where: from the kept choices of each routing group to the rows that each process
// sends. Pure arithmetic; no activations, no MPI.
//
// Worked example, V = 2, R = 2, E = 4 (process 0 owns e0 e1, process 1 owns e2 e3), C = 1, and
// process 0's virtual rank v0 routes its tokens t0 … t3 to experts 2, 0, 2, 1:
//   t2 is dropped, since t0 has taken e2's only place.
//   send order (owner, expert, v, token): t1 (e0), t3 (e1) | t0 (e2).
//   rows to process 0: 2, to process 1: 1. Rows per segment: 1 1 | 1 0.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "comm/layout.hpp"
#include "moe/selection.hpp"

namespace switchyard {

struct DispatchPlan {
  // The kept rows in send order: (owner, group, expert, virtual rank, token). Values are row
  // numbers in the process's activations, i*N + t for token t of the i-th hosted virtual rank.
  Buffer<std::int64_t> rows;
  std::int64_t choices = 1;       // k
  Buffer<std::int64_t> position;  // [h, k, N] index in `rows` of each choice's row; -1: not kept
  // [peers, chunks] rows that go to each chunk of experts of each process of Layout::peers
  Buffer<std::int64_t> send_rows;
  Buffer<std::int64_t> segment_rows;  // rows in each segment, in send order
};

// A segment is the rows of one (owner, group, expert, virtual rank). Returns the number of
// segments, empty ones included, in what `source` sends to `owner`. Both sides compute it from the
// layout.
std::int64_t segment_count(const Layout& layout, Rank source, Rank owner);
// The virtual ranks of group g that process p hosts.
Interval<VirtualRank> hosted_in_group(const Layout& layout, Rank p, GroupId g);

// Rows may be exchanged in chunks: those of some experts of each process, then of the next. The
// experts of an owner that belong to the chunk. More than one chunk is possible only where a
// process owns experts of a single group.
Interval<ExpertId> experts_of_chunk(const Layout& layout, Rank owner, std::int64_t chunk,
                                    std::int64_t chunks);
// How many of those segments are of that chunk. They follow one another in send order.
std::int64_t segment_count(const Layout& layout, Rank source, Rank owner, std::int64_t chunk,
                           std::int64_t chunks);

// selections: one per hosted virtual rank, all with the same k and N. Not collective.
DispatchPlan plan_dispatch(const Layout& layout, Rank self,
                           std::span<const Selection* const> selections, std::int64_t chunks = 1);

}  // namespace switchyard
