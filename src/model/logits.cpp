#include "model/logits.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/linear.hpp"
#include "tensor/gemm.hpp"
#include "tensor/ops.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

// Positions whose logits exist at once. Part of the numbers: the kernel's gradient is summed over
// a virtual rank's chunks in order.
constexpr std::int64_t chunk_positions = 512;

// Calls visit(virtual rank i, first position, positions) for each chunk of each virtual rank.
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
#pragma omp parallel for simd schedule(static)
  for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] *= factor;
}

float tied_scale(std::int64_t d_model) { return 1.0f / std::sqrt(static_cast<float>(d_model)); }

// Room for the logits of the largest chunk, [min(512, N), W].
template <class T>
Tensor<T> chunk_logits(std::int64_t ranks, std::int64_t positions, std::int64_t vocabulary) {
  return Tensor<T>::uninitialized(std::min(chunk_positions, positions / ranks), vocabulary);
}

template <class T>
std::span<T> part(std::span<T> all, std::int64_t first, std::int64_t count) {
  return all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
}

}  // namespace

template <class In>
LogitsOutput<In> Logits::forward(StepContext& context, const ParamSet& params,
                                 const Sequence& sequence, Tensor<float> hidden,
                                 std::span<const std::int32_t> targets) const {
  const ScopedPhase phase(context.timer, Phase::logits);
  const Param& kernel = params[kernel_];
  const std::int64_t ranks = sequence.ranks, positions = sequence.positions();
  if (tied_) scale_in_place(hidden.flat(), tied_scale(hidden.cols()));
  LogitsOutput<In> out{
      Tensor<float>::uninitialized(ranks * sequence.rows, sequence.length), {}, {}};
  out.saved.hidden = rounded<In>(std::move(hidden));
  out.saved.log_z = Tensor<float>::uninitialized(1, positions);
  if (context.mode == Mode::evaluate) out.predictions.resize(static_cast<std::size_t>(positions));
  if (context.mode == Mode::train && extra_.any())
    out.extra_loss = Tensor<float>::uninitialized(ranks * sequence.rows, sequence.length);
  const std::int64_t vocabulary = tied_ ? kernel.spec.rows : kernel.spec.cols;
  auto room = chunk_logits<float>(ranks, positions, vocabulary);
  for_each_chunk(ranks, positions, [&](std::int64_t, std::int64_t first, std::int64_t count) {
    const View<float> logits = room.row_range(0, count);
    gemm<In, float>(context.work, out.saved.hidden.row_range(first, count), Transpose::no,
                    kernel.input<In>(), tied_ ? Transpose::yes : Transpose::no, logits);
    cross_entropy_forward(logits, part(targets, first, count), part(out.loss.flat(), first, count),
                          part(out.saved.log_z.flat(), first, count),
                          out.predictions.empty() ? nullptr : out.predictions.data() + first);
    if (out.extra_loss.size() > 0) {
      extra_loss_forward(logits, part(targets, first, count),
                         part(std::as_const(out.saved.log_z).flat(), first, count), extra_,
                         part(out.extra_loss.flat(), first, count));
    }
  });
  return out;
}

template <class In>
Tensor<float> Logits::backward(StepContext& context, ParamSet& params, const LogitsSaved<In>& saved,
                               std::span<const std::int32_t> targets, float scale) const {
  const ScopedPhase phase(context.timer, Phase::logits);
  Param& kernel = params[kernel_];
  const auto ranks = static_cast<std::int64_t>(kernel.leaves.size());
  const View<const In> hidden = saved.hidden.view(), weights = kernel.input<In>();
  Tensor<float> d_hidden = Tensor<float>::uninitialized(hidden.rows, hidden.cols);
  const std::int64_t vocabulary = tied_ ? kernel.spec.rows : kernel.spec.cols;
  auto room = chunk_logits<float>(ranks, hidden.rows, vocabulary);
  auto input_room =
      chunk_logits<In>(ranks, hidden.rows, std::is_same_v<In, float> ? 0 : vocabulary);
  Work& work = context.work;
  for_each_chunk(ranks, hidden.rows, [&](std::int64_t i, std::int64_t first, std::int64_t count) {
    const View<const In> x = hidden.row_range(first, count);
    const View<float> logits = room.row_range(0, count);
    const View<In> d = input_place(logits, input_room.row_range(0, count));  // their gradient
    const View<float> leaf = kernel.leaves[static_cast<std::size_t>(i)];
    gemm<In, float>(work, x, Transpose::no, weights, tied_ ? Transpose::yes : Transpose::no,
                    logits);
    cross_entropy_backward(logits, part(targets, first, count),
                           part(saved.log_z.flat(), first, count), scale, extra_, d);
    if (tied_) {
      gemm<In, float>(work, d, Transpose::yes, x, Transpose::no, leaf, Accumulate::yes);
    } else {
      gemm<In, float>(work, x, Transpose::yes, d, Transpose::no, leaf, Accumulate::yes);
    }
    gemm<In, float>(work, d, Transpose::no, weights, tied_ ? Transpose::no : Transpose::yes,
                    d_hidden.row_range(first, count));
  });
  if (tied_) scale_in_place(d_hidden.flat(), tied_scale(hidden.cols));
  return d_hidden;
}

#define SWITCHYARD_INSTANTIATE(In)                                                               \
  template LogitsOutput<In> Logits::forward(StepContext&, const ParamSet&, const Sequence&,      \
                                            Tensor<float>, std::span<const std::int32_t>) const; \
  template Tensor<float> Logits::backward(StepContext&, ParamSet&, const LogitsSaved<In>&,       \
                                          std::span<const std::int32_t>, float) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
