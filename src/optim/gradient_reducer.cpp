#include "optim/gradient_reducer.hpp"

#include <cmath>

#include "base/buffer.hpp"
#include "optim/elementwise.hpp"
#include "tensor/ops.hpp"
#include "tensor/sum_of_squares.hpp"

namespace switchyard {
namespace {

// The processes that hold the same experts, one per group or, with fewer processes than groups,
// all: those at the same position of their groups. Unset with one group: then an expert's only leaf
// is already its gradient. Collective.
std::optional<Comm> processes_with_same_experts(const Comm& comm, const Layout& layout) {
  if (layout.groups() == 1) return std::nullopt;
  const Rank self = comm.rank();
  const Rank first = layout.processes_of(layout.groups_of(self).first).first;
  return comm.split(static_cast<int>(self.value - first.value), static_cast<int>(self.value));
}

std::int64_t length_of(std::span<const std::span<float>> leaves) {
  return leaves.empty() ? 0 : std::ssize(leaves[0]);
}

}  // namespace

GradientReducer::GradientReducer(const Comm& comm, const Layout& layout, ParamSet& params)
    : layout_(layout),
      params_(params),
      holders_(processes_with_same_experts(comm, layout)),
      dense_(comm, {layout.virtual_ranks(), layout.processes()}, length_of(params.dense_leaves())) {
  if (holders_)
    experts_.emplace(*holders_, LeafPartition(layout.groups(), holders_->size()),
                     length_of(params.expert_leaves()));
}

void GradientReducer::begin() { dense_.begin(params_.dense_leaves()); }

void GradientReducer::complete_from(std::size_t param) {
  params_.fill_empty_dense_leaves(param);
  dense_.final_from(params_.dense_offset(param));
}

void GradientReducer::advance() { dense_.advance(); }

void GradientReducer::finish() {
  params_.fill_empty_leaves();
  dense_.finish();
  if (experts_) experts_->all_reduce(params_.expert_leaves());
  for (Param& param : params_.params()) param.gradient = param.leaves[0].sum();
}

void synchronize_gradients(const Comm& comm, const Layout& layout, ParamSet& params) {
  GradientReducer reducer(comm, layout, params);
  reducer.begin();
  reducer.finish();
}

double gradient_norm(const Comm& comm, const Layout& layout, const ParamSet& params) {
  // Each sum of squares is computed by one process and is zero on all others: those of dense
  // tensors in turn, those of an expert by its owner in group 0.
  const std::size_t dense = params.dense_count();
  Buffer<double> squares(dense + static_cast<std::size_t>(layout.experts()), 0.0);
  const std::span<double> of_dense = std::span(squares).first(dense),
                          of_experts = std::span(squares).subspan(dense);
  for (std::size_t i = 0; i < params.params().size(); ++i) {
    const Param& param = params[i];
    const auto square = [&] { return sum_of_squares(View<const float>(param.gradient).flat()); };
    if (!param.is_expert()) {
      if (static_cast<std::int64_t>(i) % comm.size() == comm.rank().value) of_dense[i] = square();
    } else if (layout.owner(*param.spec.expert, GroupId{0}) == comm.rank()) {
      of_experts[static_cast<std::size_t>(param.spec.expert->value)] += square();
    }
  }
  all_reduce_apart(comm, squares);
  double total = 0;
  for (const double square : of_dense) total += square;
  return std::sqrt(total + canonical_sum(of_experts));
}

void clip_gradients(ParamSet& params, double norm, double limit, const UpdateShare* share) {
  if (norm <= limit) return;
  const auto factor = static_cast<float>(limit / norm);
  for (std::size_t i = 0; i < params.params().size(); ++i) {
    Param& param = params[i];
    for_each_run(param, updated_rows(share, params.params(), i),
                 [&](std::int64_t begin, std::int64_t count) {
                   float* __restrict g = param.gradient.data + begin;
#pragma omp simd
                   for (std::int64_t k = 0; k < count; ++k) g[k] *= factor;
                 });
  }
}

}  // namespace switchyard
