// Sums whose bits do not depend on the number of processes that compute them: a pairwise tree over
// leaves (virtual ranks, or replica groups). MPI_Allreduce gives no such guarantee.
//
// Node (l, k) covers the leaves [k 2^l, min((k+1) 2^l, V)). Its value is left + right, or left
// alone where the right child covers no leaves. Each process folds its own leaves into cover(p),
// the maximal nodes inside its interval. The upper part of the tree is then evaluated piece by
// piece: the elements are divided among the processes, and each sums one piece.
//
// Worked example, V = 5 leaves on R = 2 processes: p0 has leaves 0 1, p1 has 2 3 4.
//   cover(p0) = {(1,0)};  cover(p1) = {(1,1), (2,1)}: leaf 4 alone is node (2,1), since its
//   siblings are empty. root = ((0 + 1) + (2 + 3)) + 4.
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
  Buffer<std::int64_t> first;  // size R+1, first[0] = 0, non-decreasing
  std::int64_t leaves() const { return first.back(); }
};

// The maximal nodes inside the leaves [first, last) of a tree over `leaves` leaves, left to right.
Buffer<TreeNode> cover(std::int64_t first, std::int64_t last, std::int64_t leaves);

// Sums values that all lie on one process, in tree order; values[i] is leaf i. Zero for no values.
// Not collective.
double canonical_sum(std::span<const double> values);

// leaves[i]: this process's i-th leaf, n elements each; the buffers are used as scratch and hold
// nothing meaningful afterwards. result: n elements (may be leaves[0] itself), with the same bits
// on every process. Each process sends (|cover|+1) n (R-1)/R elements, in chunks of at most `chunk`
// of the n elements, which bounds both MPI's int counts and the memory. T: float or double.
// Collective.
template <class T>
void canonical_all_reduce(const Comm& comm, const LeafPartition& partition,
                          std::span<const std::span<T>> leaves, std::span<T> result,
                          std::int64_t chunk = std::int64_t{1} << 20);

}  // namespace switchyard
