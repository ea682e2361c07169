// Who goes where: from each group's chosen experts to slots, drops, and the rows each process
// sends. Pure arithmetic; no activations, no MPI.
//
// Worked example, V = 2, R = 2, E = 4 (process 0 owns e0 e1, process 1 owns e2 e3), C = 1, and
// process 0's virtual rank v0 routes its tokens t0 … t3 to experts 2, 0, 2, 1:
//   slots 0, 0, 1, 0; t2 is dropped (slot 1 >= C).
//   send order (owner, expert, v, token): t1 (e0), t3 (e1) | t0 (e2).
//   rows to process 0: 2, to process 1: 1. Rows per segment: 1 1 | 1 0.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/layout.hpp"
#include "moe/router.hpp"

namespace switchyard {

// C = max(min(N, floor(N cf / E)), min_capacity), in double; N = `tokens` counts padding too.
std::int64_t expert_capacity(std::int64_t tokens, double capacity_factor, std::int64_t experts,
                             std::int64_t min_capacity);

struct DispatchPlan {
  // The kept rows in send order: (owner, group, expert, virtual rank, token). Values are row
  // numbers in the process's activations, i*N + t for token t of its i-th hosted virtual rank.
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> position;      // [h*N] its inverse; -1: dropped or padding
  std::vector<std::int64_t> send_rows;     // [R] how many go to each process
  std::vector<std::int64_t> segment_rows;  // how many of them each segment holds, in send order
};

// A segment is the rows of one (owner, group, expert, virtual rank); a source cuts what it sends to
// an owner into this many, empty ones too. Both sides know it: the layout says so.
std::int64_t segment_count(const Layout& layout, Rank source, Rank owner);
// The virtual ranks of group g that process p hosts.
Interval<VirtualRank> hosted_in_group(const Layout& layout, Rank p, GroupId g);

// Slots are given first come, first served in token order; a token whose slot is at or past
// `capacity` is dropped. capacity N drops nothing. Sets dropped_tokens and capacity in each
// routing's stats. routings: one a hosted virtual rank.
DispatchPlan plan_dispatch(const Layout& layout, Rank self, std::span<Routing> routings,
                           std::int64_t capacity);

}  // namespace switchyard
