#include "comm/tree.hpp"

#include <cassert>
#include <utility>

namespace switchyard {

LeafPartition::LeafPartition(std::int64_t leaves, std::int64_t processes)
    : leaves_(leaves), processes_(processes) {
  assert(1 <= processes && processes <= leaves);
}

// A node whose right sibling covers no leaves has the value of its parent, and takes its name.
TreeNode TreeFold::highest_name(TreeNode node) const {
  while (!node.is_root(leaves_) && node.index % 2 == 0 && (node.index + 1) << node.level >= leaves_)
    node = node.parent();
  return node;
}

bool TreeFold::top_two_are_siblings() const {
  if (nodes_.size() < 2) return false;
  const TreeNode left = nodes_.end()[-2], right = nodes_.end()[-1];
  return left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
}

Buffer<TreeNode> cover(std::int64_t first, std::int64_t last, std::int64_t leaves) {
  assert(0 <= first && first <= last && last <= leaves);
  TreeFold fold(leaves);
  for (std::int64_t leaf = first; leaf < last; ++leaf) fold.push({0, leaf}, [] {});
  return fold.nodes();
}

Buffer<TreeNode> cover(const LeafPartition& partition, Rank p) {
  return cover(partition.first(p), partition.last(p), partition.leaves());
}

double canonical_sum(std::span<const double> values) {
  TreeFold fold(std::ssize(values));
  Buffer<double> sums;
  for (std::int64_t leaf = 0; leaf < std::ssize(values); ++leaf) {
    sums.push_back(values[static_cast<std::size_t>(leaf)]);
    fold.push({0, leaf}, [&] {
      sums.end()[-2] += sums.end()[-1];
      sums.pop_back();
    });
  }
  assert(sums.size() <= 1);
  return sums.empty() ? 0.0 : sums[0];
}

}  // namespace switchyard
