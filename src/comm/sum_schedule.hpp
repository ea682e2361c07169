// Who sends what to whom so that all processes get the canonical sum (comm/tree.hpp), as a list of
// rounds for one process. Pure arithmetic; it knows neither MPI nor the values. Every schedule
// gives the same bits, so the choice among them is one of time only:
//
// * by the tree, for short vectors: the owner of a right child sends it to the owner of the left,
//   up to the root; then the sum goes out along a binomial tree. 2 log2 R messages on the way.
// * by halving, for long vectors where V and R are powers of two: partners at distance 1, 2, 4, …
//   exchange halves of what they hold, which adds exactly the tree's nodes, and the largest halves
//   go to the nearest neighbours. Then back in the opposite order. 2 log2 R messages and
//   2 n (R-1)/R elements sent by each process. The pieces land in bit-reversed order.
// * balanced, for all other long vectors on up to 32 processes: for each piece, nodes are added up
//   where that takes the fewest messages, and the sum where it burdens the busiest process least.
//   V = 16 on R = 3: each process sends 2 n elements, and no order of the tree takes less.
// * direct, on more processes: every process sends each of its nodes' piece j to the process that
//   sums piece j, which sends the sum to all.
//
// A vector is cut into `pieces` equal pieces; a slot holds some of them. Slots 0, 1, … hold the
// process's own nodes, from left to right, and the sum in the end lies in slot 0; the others are
// room for what arrives.
#pragma once

#include <cstdint>
#include <functional>

#include "base/buffer.hpp"
#include "comm/tree.hpp"

namespace switchyard {

struct SumSchedule {
  struct Pieces {
    std::int64_t first = 0, last = 0;  // [first, last)
    bool operator==(const Pieces&) const = default;
  };
  struct Message {
    Rank peer;
    int slot = 0;
    Pieces pieces;
  };
  struct Addition {  // slot `into` = slot `left` + slot `right`
    int left = 0, right = 0, into = 0;
    Pieces pieces;
  };
  // All messages of a round travel at the same time; the additions follow.
  struct Round {
    Buffer<Message> sends, receives;
    Buffer<Addition> additions;
  };

  std::int64_t pieces = 1;
  int nodes = 1;         // slots of own nodes
  Buffer<Pieces> rooms;  // what slot nodes + i has room for
  Buffer<Round> rounds;
  std::size_t summing_rounds = 0;  // after these, each piece's sum is in slot 0 of some process
  Pieces own;  // the pieces whose sums are then here; with the balanced schedule not said
};

SumSchedule tree_schedule(const LeafPartition& partition, Rank self);
// Leaves and processes must be powers of two.
SumSchedule halving_schedule(const LeafPartition& partition, Rank self);
// 1 <= pieces <= processes.
SumSchedule direct_schedule(const LeafPartition& partition, Rank self, std::int64_t pieces);

constexpr std::int64_t most_balanced_processes = 32;
// 2 <= processes <= most_balanced_processes. The direct schedule, where that is better for the
// process that sends most.
SumSchedule balanced_schedule(const LeafPartition& partition, Rank self, std::int64_t pieces);

// The schedule for vectors of `bytes` bytes; the same kind on all processes.
SumSchedule schedule_sum(const LeafPartition& partition, Rank self, std::int64_t bytes);

// The first of the n elements that belong to piece i: a multiple of 16, except for the end.
std::int64_t first_element(std::int64_t piece, std::int64_t pieces, std::int64_t n);

// What this process sends for a vector of n elements. Messages without elements are not sent. far:
// of that, what goes to processes for which is_far holds.
struct SumTraffic {
  std::int64_t messages = 0, elements = 0;
  std::int64_t far_messages = 0, far_elements = 0;

  void add(const SumTraffic& other, std::int64_t times = 1);
};
using IsFar = std::function<bool(Rank)>;
SumTraffic traffic_of(const SumSchedule& schedule, std::int64_t n, const IsFar& is_far = {});

}  // namespace switchyard
