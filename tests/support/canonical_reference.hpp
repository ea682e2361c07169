// The pairwise tree by definition, in one process: the reference for canonical sums.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard::reference {

// The value of node (level, index) of the tree over `leaves`, which must have leaves there.
template <class T>
T tree_node(const std::vector<T>& leaves, int level, std::int64_t index) {
  const auto count = static_cast<std::int64_t>(leaves.size());
  if (level == 0) return leaves[static_cast<std::size_t>(index)];
  const T left = tree_node(leaves, level - 1, 2 * index);
  const bool right_is_empty = (2 * index + 1) << (level - 1) >= count;
  return right_is_empty ? left : left + tree_node(leaves, level - 1, 2 * index + 1);
}

inline int root_level(std::int64_t leaves) {
  int level = 0;
  while (std::int64_t{1} << level < leaves) ++level;
  return level;
}

template <class T>
T tree_sum(const std::vector<T>& leaves) {
  return tree_node(leaves, root_level(static_cast<std::int64_t>(leaves.size())), 0);
}

}  // namespace switchyard::reference
