// Who goes where: from each group's kept choices to the rows each process sends. Pure arithmetic;
// no activations, no MPI.
//
// Worked example, V = 2, R = 2, E = 4 (process 0 owns e0 e1, process 1 owns e2 e3), C = 1, and
// process 0's virtual rank v0 routes its tokens t0 … t3 to experts 2, 0, 2, 1:
//   t2 is dropped, since t0 has e2's only place.
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
  // numbers in the process's activations, i*N + t for token t of its i-th hosted virtual rank.
  Buffer<std::int64_t> rows;
  std::int64_t choices = 1;           // k
  Buffer<std::int64_t> position;      // [h, k, N] where a choice's row is in `rows`; -1: not kept
  Buffer<std::int64_t> send_rows;     // [R] how many go to each process
  Buffer<std::int64_t> segment_rows;  // how many of them each segment holds, in send order
};

// A segment is the rows of one (owner, group, expert, virtual rank); a source cuts what it sends to
// an owner into this many, empty ones too. Both sides know it: the layout says so.
std::int64_t segment_count(const Layout& layout, Rank source, Rank owner);
// The virtual ranks of group g that process p hosts.
Interval<VirtualRank> hosted_in_group(const Layout& layout, Rank p, GroupId g);

// selections: one a hosted virtual rank, all of the same k and N.
DispatchPlan plan_dispatch(const Layout& layout, Rank self,
                           std::span<const Selection* const> selections);

}  // namespace switchyard
