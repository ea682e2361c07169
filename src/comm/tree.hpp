// The pairwise tree in whose order values of leaves (virtual ranks, or replica groups) are added.
// The bits of such a sum do not depend on the number of processes that compute it. Pure arithmetic;
// it knows no messages.
//
// Node (l, k) covers the leaves [k 2^l, min((k+1) 2^l, V)). Its value is left + right, or left
// alone where the right child covers no leaves. cover(p) are the maximal nodes inside the leaves of
// process p.
//
// Worked example, V = 5 leaves on R = 2 processes: p0 has leaves 0 1, p1 has 2 3 4.
//   cover(p0) = {(1,0)};  cover(p1) = {(1,1), (2,1)}: leaf 4 alone is node (2,1), since its
//   siblings are empty. root = ((0 + 1) + (2 + 3)) + 4.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "base/index.hpp"

namespace switchyard {

// A node of the tree over `leaves` leaves.
struct TreeNode {
  int level = 0;
  std::int64_t index = 0;
  bool operator==(const TreeNode&) const = default;

  std::int64_t first_leaf() const { return index << level; }
  bool is_root(std::int64_t leaves) const {
    return index == 0 && std::int64_t{1} << level >= leaves;
  }
  TreeNode parent() const { return {level + 1, index / 2}; }
};

// Who has which leaf: process p has the leaves [floor(p V/R), floor((p+1) V/R)). Each process has
// at least one.
class LeafPartition {
 public:
  // 1 <= processes <= leaves.
  LeafPartition(std::int64_t leaves, std::int64_t processes);

  std::int64_t leaves() const { return leaves_; }
  std::int64_t processes() const { return processes_; }
  std::int64_t first(Rank p) const { return p.value * leaves_ / processes_; }
  std::int64_t last(Rank p) const { return (p.value + 1) * leaves_ / processes_; }
  Rank owner(std::int64_t leaf) const { return Rank{((leaf + 1) * processes_ - 1) / leaves_}; }

 private:
  std::int64_t leaves_, processes_;
};

// The maximal nodes inside the leaves [first, last) of a tree over `leaves` leaves, left to right.
Buffer<TreeNode> cover(std::int64_t first, std::int64_t last, std::int64_t leaves);
Buffer<TreeNode> cover(const LeafPartition& partition, Rank p);

// Sums values that all lie on one process, in tree order; values[i] is leaf i. Zero for no values.
double canonical_sum(std::span<const double> values);

// Takes consecutive nodes from left to right and joins those that are siblings.
class TreeFold {
 public:
  explicit TreeFold(std::int64_t leaves) : leaves_(leaves) {}

  // Calls `join` once for each addition that `node` makes possible: it must add the last value to
  // the one before it and remove the last.
  template <class Join>
  void push(TreeNode node, Join join) {
    nodes_.push_back(highest_name(node));
    while (top_two_are_siblings()) {
      join();
      nodes_.pop_back();
      nodes_.back() = highest_name(nodes_.back().parent());
    }
  }
  const Buffer<TreeNode>& nodes() const {
    return nodes_;
  }  // what is left, as far folded as possible

 private:
  TreeNode highest_name(TreeNode node) const;
  bool top_two_are_siblings() const;

  std::int64_t leaves_;
  Buffer<TreeNode> nodes_;
};

}  // namespace switchyard
