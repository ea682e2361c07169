#include "model/logits.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/linear.hpp"
#include "tensor/cross_entropy.hpp"
#include "tensor/gemm.hpp"
#include "tensor/ops.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

// The number of positions whose logits exist at once. Changing it changes the bits of the result:
// the kernel's gradient is summed over the chunks of a virtual rank in order.
constexpr std::int64_t chunk_positions = 512;

// Calls visit(i, first position, count) for each chunk of each virtual rank i.
template <class Visit>
void for_each_chunk(std::int64_t ranks, std::int64_t positions, Visit&& visit) {
  const std::int64_t per_rank = positions / ranks;
  for (std::int64_t i = 0; i < ranks; ++i) {
    for (std::int64_t first = 0; first < per_rank; first += chunk_positions) {
      visit(i, i * per_rank + first, std::min(chunk_positions, per_rank - first));
    }
  }
}

void scale_in_place(std::span<float> x, float factor) {
  const auto n = static_cast<std::int64_t>(x.size());
#pragma omp parallel for simd schedule(static)  // throws nothing
  for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] *= factor;
}

float tied_scale(std::int64_t d_model) { return 1.0f / std::sqrt(static_cast<float>(d_model)); }

// Scratch memory for the logits of the largest chunk, [min(512, N), W].
template <class T>
Tensor<T> chunk_logits(std::int64_t ranks, std::int64_t positions, std::int64_t vocabulary) {
  return Tensor<T>::uninitialized(std::min(chunk_positions, positions / ranks), vocabulary);
}

template <class T>
std::span<T> part(std::span<T> all, std::int64_t first, std::int64_t count) {
  return all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

// hidden [h*N, D] converted to the type of the product's inputs.
template <class In>
Tensor<In> product_input(Tensor<float> hidden, bool tied) {
  if (tied) scale_in_place(hidden.flat(), tied_scale(hidden.cols()));
  return rounded<In>(std::move(hidden));
}

// Allocates the outputs for each target.
LogitsOutput new_output(Mode mode, const Sequence& sequence, ExtraLoss extra) {
  const std::int64_t rows = sequence.ranks * sequence.rows;
  LogitsOutput out;
  out.loss = Tensor<float>::uninitialized(rows, sequence.length);
  if (mode == Mode::evaluate)
    out.predictions.resize(static_cast<std::size_t>(sequence.positions()));
  if (mode == Mode::train && extra.any())
    out.extra_loss = Tensor<float>::uninitialized(rows, sequence.length);
  return out;
}

// Fills in the outputs for the targets of one chunk from its logits [count, W], which start at
// position `first`; log_z [count].
void read_logits(View<const float> logits, std::int64_t first,
                 std::span<const std::int32_t> targets, ExtraLoss extra, std::span<float> log_z,
                 LogitsOutput& out) {
  const std::int64_t count = logits.rows;
  cross_entropy_forward(logits, targets, part(out.loss.flat(), first, count), log_z,
                        out.predictions.empty() ? nullptr : out.predictions.data() + first);
  if (out.extra_loss.size() > 0)
    extra_loss_forward(logits, targets, log_z, extra, part(out.extra_loss.flat(), first, count));
}

}  // namespace

template <class In>
LogitsOutput Logits::forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                             Tensor<float> hidden, std::span<const std::int32_t> targets) const {
  const ScopedPhase phase(context.timer, Phase::logits);
  const View<const In> weights = params[kernel_].input<In>();
  const std::int64_t vocabulary = tied_ ? weights.rows : weights.cols;
  const Tensor<In> input = product_input<In>(std::move(hidden), tied_);
  LogitsOutput out = new_output(context.mode, sequence, extra_);
  auto room = chunk_logits<float>(sequence.ranks, input.rows(), vocabulary);
  auto log_z = Tensor<float>::uninitialized(1, room.rows());
  for_each_chunk(sequence.ranks, input.rows(),
                 [&](std::int64_t, std::int64_t first, std::int64_t count) {
                   const View<float> logits = room.row_range(0, count);
                   gemm<In, float>(context.work, input.row_range(first, count), Transpose::no,
                                   weights, tied_ ? Transpose::yes : Transpose::no, logits);
                   read_logits(logits, first, part(targets, first, count), extra_,
                               part(log_z.flat(), 0, count), out);
                 });
  return out;
}

template <class In>
LogitsOutput Logits::forward_backward(StepContext& context, ParamSet& params,
                                      const Sequence& sequence, Tensor<float> hidden,
                                      std::span<const std::int32_t> targets, float scale) const {
  const ScopedPhase phase(context.timer, Phase::logits);
  Param& kernel = params[kernel_];
  const View<const In> weights = kernel.input<In>();
  const std::int64_t vocabulary = tied_ ? weights.rows : weights.cols;
  const Tensor<In> input = product_input<In>(std::move(hidden), tied_);
  LogitsOutput out = new_output(context.mode, sequence, extra_);
  out.d_hidden = Tensor<float>::uninitialized(input.rows(), input.cols());
  auto room = chunk_logits<float>(sequence.ranks, input.rows(), vocabulary);
  auto input_room =
      chunk_logits<In>(sequence.ranks, input.rows(), std::is_same_v<In, float> ? 0 : vocabulary);
  auto log_z = Tensor<float>::uninitialized(1, room.rows());
  const Transpose as_forward = tied_ ? Transpose::yes : Transpose::no,
                  as_backward = tied_ ? Transpose::no : Transpose::yes;
  Work& work = context.work;
  for_each_chunk(sequence.ranks, input.rows(),
                 [&](std::int64_t i, std::int64_t first, std::int64_t count) {
                   const View<const In> x = input.row_range(first, count);
                   const View<float> logits = room.row_range(0, count);
                   const View<In> d = input_place(logits, input_room.row_range(0, count));
                   const auto ids = part(targets, first, count);
                   const auto z = part(log_z.flat(), 0, count);
                   GradientLeaf& leaf = kernel.leaves[static_cast<std::size_t>(i)];
                   gemm<In, float>(work, x, Transpose::no, weights, as_forward, logits);
                   read_logits(logits, first, ids, extra_, z, out);
                   cross_entropy_backward(logits, ids, z, scale, extra_, d);
                   if (tied_) {
                     leaf.add_product<In>(work, d, Transpose::yes, x, Transpose::no);
                   } else {
                     leaf.add_product<In>(work, x, Transpose::yes, d, Transpose::no);
                   }
                   gemm<In, float>(work, View<const In>(d), Transpose::no, weights, as_backward,
                                   out.d_hidden.row_range(first, count));
                 });
  if (tied_) scale_in_place(out.d_hidden.flat(), tied_scale(input.cols()));
  return out;
}

#define SWITCHYARD_INSTANTIATE(In)                                                                 \
  template LogitsOutput Logits::forward<In>(StepContext&, const ParamSet&, const Sequence&,        \
                                            Tensor<float>, std::span<const std::int32_t>) const;   \
  template LogitsOutput Logits::forward_backward<In>(StepContext&, ParamSet&, const Sequence&,     \
                                                     Tensor<float>, std::span<const std::int32_t>, \
                                                     float) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
