#include "comm/canonical.hpp"

#include <algorithm>
#include <cassert>

#include "base/buffer.hpp"
#include "comm/mpi.hpp"

namespace switchyard {
namespace {

std::int64_t length(auto range) { return static_cast<std::int64_t>(range.size()); }

// Pushes a node onto a stack that holds all nodes to its left, folded as far as possible. A node
// whose right sibling covers no leaves is renamed to its parent. Two siblings at the top are
// joined: `join` adds the top value to the one below and removes it.
template <class Join>
void push_node(Buffer<TreeNode>& stack, TreeNode node, std::int64_t leaves, Join join) {
  const auto rename = [leaves](TreeNode& n) {
    const auto is_root = [&] { return n.index == 0 && std::int64_t{1} << n.level >= leaves; };
    while (!is_root() && n.index % 2 == 0 && (n.index + 1) << n.level >= leaves) {
      ++n.level;
      n.index /= 2;
    }
  };
  rename(node);
  stack.push_back(node);
  const auto top_two_are_siblings = [&] {
    if (stack.size() < 2) return false;
    const TreeNode left = stack.end()[-2], right = stack.end()[-1];
    return left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
  };
  while (top_two_are_siblings()) {
    join();
    stack.pop_back();
    stack.back() = {stack.back().level + 1, stack.back().index / 2};
    rename(stack.back());
  }
}

template <class T>
void add(std::span<T> sum, std::span<const T> term) {
  T* const s = sum.data();
  const T* const t = term.data();
  const std::int64_t n = length(sum);
#pragma omp parallel for simd schedule(static)  // throws nothing
  for (std::int64_t i = 0; i < n; ++i) s[i] += t[i];
}

// Folds consecutive nodes in place and returns the folded nodes; `values` is replaced by their
// values.
template <class T>
Buffer<TreeNode> fold(std::span<const TreeNode> nodes, Buffer<std::span<T>>& values,
                      std::int64_t leaves) {
  assert(nodes.size() == values.size());
  Buffer<TreeNode> stack;
  Buffer<std::span<T>> folded;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    folded.push_back(values[i]);
    push_node(stack, nodes[i], leaves, [&] {
      add<T>(folded.end()[-2], folded.end()[-1]);
      folded.pop_back();
    });
  }
  values = std::move(folded);
  return stack;
}

Buffer<TreeNode> leaf_nodes(std::int64_t first, std::int64_t last) {
  Buffer<TreeNode> nodes;
  for (std::int64_t leaf = first; leaf < last; ++leaf) nodes.push_back({0, leaf});
  return nodes;
}

// Which nodes each process sends; every process computes this from the partition alone.
struct LeafExchange {
  std::int64_t leaves = 0;
  Buffer<Buffer<TreeNode>> covers;  // [R]
  std::size_t rounds = 0;           // in round r each process sends the r-th node of its cover

  explicit LeafExchange(const LeafPartition& partition) : leaves(partition.leaves()) {
    for (std::size_t p = 0; p + 1 < partition.first.size(); ++p) {
      covers.push_back(cover(partition.first[p], partition.first[p + 1], leaves));
      rounds = std::max(rounds, covers.back().size());
    }
  }
};

// Reduces one chunk of the elements, small enough for int counts. Process j sums piece j of the
// chunk, [floor(jn/R), floor((j+1)n/R)). room [rounds, R, ceil(n/R)]: receive buffer.
template <class T>
void reduce_chunk(const Comm& comm, const LeafExchange& exchange,
                  std::span<const std::span<T>> nodes, std::span<T> room, std::span<T> result) {
  const std::int64_t n = length(result), processes = comm.size(), own = comm.rank().value;
  Buffer<std::int64_t> piece_sizes;
  for (std::int64_t j = 0; j < processes; ++j)
    piece_sizes.push_back((j + 1) * n / processes - j * n / processes);
  const Buffer<int> counts = int_counts(piece_sizes), offsets = int_offsets(piece_sizes);
  const std::int64_t piece = piece_sizes[static_cast<std::size_t>(own)];
  const Buffer<int> nothing(counts.size(), 0);

  // pieces[p] has one entry for each round in which process p sends a node.
  Buffer<Buffer<std::span<T>>> pieces(exchange.covers.size());
  for (std::size_t round = 0; round < exchange.rounds; ++round) {
    T* const base = room.data() + static_cast<std::int64_t>(round) * processes * piece;
    Buffer<std::int64_t> expected;
    for (std::size_t p = 0; p < exchange.covers.size(); ++p) {
      const bool sends = round < exchange.covers[p].size();
      if (sends)
        pieces[p].push_back(
            {base + static_cast<std::int64_t>(p) * piece, static_cast<std::size_t>(piece)});
      expected.push_back(sends ? piece : 0);
    }
    Buffer<std::int64_t> places(exchange.covers.size(), piece);
    const bool sends = round < nodes.size();
    check_mpi(
        MPI_Alltoallv(sends ? nodes[round].data() : nullptr, (sends ? counts : nothing).data(),
                      offsets.data(), mpi_type<T>(), base, int_counts(expected).data(),
                      int_offsets(places).data(), mpi_type<T>(), comm.handle().comm),
        "MPI_Alltoallv");
  }

  Buffer<TreeNode> all_nodes;
  Buffer<std::span<T>> all_pieces;
  for (std::size_t p = 0; p < exchange.covers.size(); ++p) {
    all_nodes.insert(all_nodes.end(), exchange.covers[p].begin(), exchange.covers[p].end());
    all_pieces.insert(all_pieces.end(), pieces[p].begin(), pieces[p].end());
  }
  fold<T>(all_nodes, all_pieces, exchange.leaves);
  assert(all_pieces.size() == 1);
  check_mpi(MPI_Allgatherv(all_pieces[0].data(), int_count(piece), mpi_type<T>(), result.data(),
                           counts.data(), offsets.data(), mpi_type<T>(), comm.handle().comm),
            "MPI_Allgatherv");
}

}  // namespace

Buffer<TreeNode> cover(std::int64_t first, std::int64_t last, std::int64_t leaves) {
  assert(0 <= first && first <= last && last <= leaves);
  Buffer<TreeNode> stack;
  for (std::int64_t leaf = first; leaf < last; ++leaf) push_node(stack, {0, leaf}, leaves, [] {});
  return stack;
}

double canonical_sum(std::span<const double> values) {
  Buffer<TreeNode> stack;
  Buffer<double> sums;
  for (std::int64_t leaf = 0; leaf < length(values); ++leaf) {
    sums.push_back(values[static_cast<std::size_t>(leaf)]);
    push_node(stack, {0, leaf}, length(values), [&] {
      sums.end()[-2] += sums.end()[-1];
      sums.pop_back();
    });
  }
  assert(sums.size() <= 1);
  return sums.empty() ? 0.0 : sums[0];
}

template <class T>
void canonical_all_reduce(const Comm& comm, const LeafPartition& partition,
                          std::span<const std::span<T>> leaves, std::span<T> result,
                          std::int64_t chunk) {
  assert(chunk > 0 && length(partition.first) == comm.size() + 1);
  const LeafExchange exchange(partition);
  const auto own = static_cast<std::size_t>(comm.rank().value);
  const Buffer<TreeNode> own_leaves = leaf_nodes(partition.first[own], partition.first[own + 1]);
  assert(own_leaves.size() == leaves.size());
  if (exchange.leaves == 0) std::fill(result.begin(), result.end(), T{0});
  if (exchange.leaves == 0) return;

  const std::int64_t most = std::min(chunk, length(result)), processes = comm.size();
  const std::int64_t piece = (most + processes - 1) / processes;
  Buffer<T> room(processes > 1 ? exchange.rounds * static_cast<std::size_t>(processes * piece) : 0);
  for (std::int64_t first = 0; first < length(result); first += chunk) {
    const auto offset = static_cast<std::size_t>(first);
    const auto count = static_cast<std::size_t>(std::min(chunk, length(result) - first));
    Buffer<std::span<T>> nodes;
    for (const std::span<T> leaf : leaves) {
      assert(leaf.size() == result.size());
      nodes.push_back(leaf.subspan(offset, count));
    }
    fold<T>(own_leaves, nodes, exchange.leaves);
    const std::span<T> target = result.subspan(offset, count);
    if (processes > 1)
      reduce_chunk<T>(comm, exchange, nodes, room, target);
    else if (target.data() != nodes[0].data())
      std::copy(nodes[0].begin(), nodes[0].end(), target.begin());
  }
}

template void canonical_all_reduce(const Comm&, const LeafPartition&,
                                   std::span<const std::span<float>>, std::span<float>,
                                   std::int64_t);
template void canonical_all_reduce(const Comm&, const LeafPartition&,
                                   std::span<const std::span<double>>, std::span<double>,
                                   std::int64_t);

}  // namespace switchyard
