#include "optim/gradient_sync.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/buffer.hpp"
#include "comm/canonical.hpp"
#include "optim/elementwise.hpp"
#include "tensor/ops.hpp"
#include "tensor/sum_of_squares.hpp"

namespace switchyard {
namespace {

LeafPartition virtual_ranks_by_process(const Layout& layout) {
  LeafPartition partition;
  for (int p = 0; p < layout.processes(); ++p) {
    partition.first.push_back(layout.hosted(Rank{p}).first.value);
  }
  partition.first.push_back(layout.virtual_ranks());
  return partition;
}

// The position of a process within its replica group. Processes at the same position of their
// groups hold the same experts.
struct Position {
  std::int64_t value = 0, count = 1;
};

Position position_in_group(const Layout& layout, Rank rank) {
  const Interval<Rank> processes = layout.processes_of(layout.groups_of(rank).first);
  return {rank.value - processes.first.value, processes.size()};
}

LeafPartition groups_by_holder(const Layout& layout, Position position) {
  LeafPartition partition;
  for (std::int64_t p = position.value; p < layout.processes(); p += position.count) {
    partition.first.push_back(layout.groups_of(Rank{p}).first.value);
  }
  partition.first.push_back(layout.groups());
  return partition;
}

void reduce_into_first(const Comm& comm, const LeafPartition& partition,
                       std::span<const std::span<float>> leaves) {
  if (!leaves.empty()) canonical_all_reduce<float>(comm, partition, leaves, leaves[0]);
}

}  // namespace

void synchronize_gradients(const Comm& comm, const Layout& layout, ParamSet& params) {
  reduce_into_first(comm, virtual_ranks_by_process(layout), params.dense_leaves());
  if (layout.groups() > 1) {  // with one group, an expert's only leaf is already its gradient
    const Position position = position_in_group(layout, comm.rank());
    const Comm holders =
        comm.split(static_cast<int>(position.value), static_cast<int>(comm.rank().value));
    reduce_into_first(holders, groups_by_holder(layout, position), params.expert_leaves());
  }
  for (Param& param : params.params()) param.gradient = param.leaves[0].sum();
}

double gradient_norm(const Comm& comm, const Layout& layout, const ParamSet& params) {
  // Each tensor's squares are summed by one process: dense tensors round-robin, an expert's tensor
  // by its owner in group 0.
  const auto is_mine = [&](std::size_t i, const Param& param) {
    if (param.is_expert()) return layout.owner(*param.spec.expert, GroupId{0}) == comm.rank();
    return static_cast<std::int64_t>(i) % comm.size() == comm.rank().value;
  };
  Buffer<char> names;
  Buffer<double> squares;
  for (std::size_t i = 0; i < params.params().size(); ++i) {
    const Param& param = params[i];
    if (!is_mine(i, param)) continue;
    names.insert(names.end(), param.name().begin(), param.name().end());
    names.push_back('\n');
    squares.push_back(sum_of_squares(View<const float>(param.gradient).flat()));
  }

  const Buffer<char> joined = all_gather_v<char>(comm, names);
  std::string_view unread(joined.data(), joined.size());
  Buffer<std::pair<std::string_view, double>> all;
  for (const double square : all_gather_v<double>(comm, squares)) {
    const std::size_t length = unread.find('\n');
    all.emplace_back(unread.substr(0, length), square);
    unread.remove_prefix(length + 1);
  }
  std::sort(all.begin(), all.end());
  double total = 0;
  for (const auto& [name, square] : all) total += square;
  return std::sqrt(total);
}

void clip_gradients(ParamSet& params, double norm, double limit) {
  if (norm <= limit) return;
  const auto factor = static_cast<float>(limit / norm);
  for (Param& param : params.params()) {
    for_each_run(param, [&](std::int64_t begin, std::int64_t count) {
      float* __restrict g = param.gradient.data + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) g[i] *= factor;
    });
  }
}

}  // namespace switchyard
