// Sums whose bits do not depend on how many processes computed them: the pairwise tree over leaves
// (virtual ranks, or replica groups). MPI_Allreduce promises no such thing.
//
// Node (l, k) covers the leaves [k 2^l, min((k+1) 2^l, V)); its value is left + right, or left
// alone where the right is empty. A process folds the leaves it has into cover(p), the maximal
// nodes inside its interval, and the roots are evaluated piece by piece, one piece of the elements
// a process.
//
// Worked example, V = 5 leaves on R = 2 processes: p0 has leaves 0 1, p1 has 2 3 4.
//   cover(p0) = {(1,0)};  cover(p1) = {(1,1), (2,1)}: leaf 4 alone is node (2,1), its siblings
//   empty. root = ((0 + 1) + (2 + 3)) + 4.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// A node of the tree over `leaves` leaves.
struct TreeNode {
  int level = 0;
  std::int64_t index = 0;
  bool operator==(const TreeNode&) const = default;
};

// Leaf ownership: process p of the communicator has the leaves [first[p], first[p+1]).
struct LeafPartition {
  Buffer<std::int64_t> first;  // size R+1, first[0] = 0, not decreasing
  std::int64_t leaves() const { return first.back(); }
};

// The maximal nodes inside the leaves [first, last) of a tree over `leaves` leaves, left to right.
Buffer<TreeNode> cover(std::int64_t first, std::int64_t last, std::int64_t leaves);

// The tree's sum of values that one process holds all of; values[i] is leaf i. Zero for no values.
double canonical_sum(std::span<const double> values);

// leaves[i]: this process's i-th leaf, n elements each; the buffers are folded in place and hold
// nothing meaningful afterwards. result: n elements (it may be leaves[0] itself); every process
// gets the same bits. Sends (|cover|+1) n (R-1)/R elements a process, `chunk` elements of n at a
// time, which bounds both MPI's int counts and the memory. T: float or double. Collective.
template <class T>
void canonical_all_reduce(const Comm& comm, const LeafPartition& partition,
                          std::span<const std::span<T>> leaves, std::span<T> result,
                          std::int64_t chunk = std::int64_t{1} << 20);

}  // namespace switchyard
