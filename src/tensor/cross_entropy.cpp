#include "tensor/cross_entropy.hpp"

#include <algorithm>

#include "base/bfloat16.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {

void cross_entropy_forward(View<const float> logits, std::span<const std::int32_t> targets,
                           std::span<float> loss, std::span<float> log_z, std::int32_t* argmax) {
  for_each_row(logits.rows, logits.size(), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const float* __restrict row = logits.row(i);
    const bool counts = targets[at] >= 0;
    loss[at] = log_z[at] = 0;
    if (!counts && argmax == nullptr) return;
    const float max = lane_max(row, logits.cols);
    if (argmax != nullptr) {
      const float* first = std::find(row, row + logits.cols, max);
      argmax[i] = first == row + logits.cols ? 0 : static_cast<std::int32_t>(first - row);
    }
    if (!counts) return;
    const float sum = lane_sum(logits.cols, [=](std::int64_t j) { return fast_exp(row[j] - max); });
    log_z[at] = static_cast<float>(max + fast_log(sum));
    loss[at] = static_cast<float>((static_cast<double>(max) - row[targets[at]]) + fast_log(sum));
  });
}

void extra_loss_forward(View<const float> logits, std::span<const std::int32_t> targets,
                        std::span<const float> log_z, ExtraLoss extra, std::span<float> added) {
  for_each_row(logits.rows, logits.size(), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const float* __restrict row = logits.row(i);
    added[at] = 0;
    if (targets[at] < 0) return;
    const float mean = lane_sum(logits.cols, [=](std::int64_t j) { return row[j]; }) /
                       static_cast<float>(logits.cols);
    added[at] =
        extra.label_smoothing * (row[targets[at]] - mean) + extra.z_loss * log_z[at] * log_z[at];
  });
}

template <class T>
void cross_entropy_backward(View<float> logits, std::span<const std::int32_t> targets,
                            std::span<const float> log_z, float scale, ExtraLoss extra, View<T> d) {
  const float uniform = scale * extra.label_smoothing / static_cast<float>(logits.cols);
  for_each_row(logits.rows, logits.size(), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const float* row = logits.row(i);
    T* out = d.row(i);
    if (targets[at] < 0) {
      std::fill(out, out + d.cols, T{});
      return;
    }
    // Local copies, so that the compiler knows that a store to `out` cannot change them.
    const float z = log_z[at], factor = scale * (1 + 2 * extra.z_loss * z), shared = uniform;
    const float at_target =
        factor * fast_exp(row[targets[at]] - z) - shared - scale * (1 - extra.label_smoothing);
#pragma omp simd
    for (std::int64_t j = 0; j < d.cols; ++j)
      out[j] = from_float<T>(factor * fast_exp(row[j] - z) - shared);
    out[targets[at]] = from_float<T>(at_target);
  });
}

template void cross_entropy_backward(View<float>, std::span<const std::int32_t>,
                                     std::span<const float>, float, ExtraLoss, View<float>);
template void cross_entropy_backward(View<float>, std::span<const std::int32_t>,
                                     std::span<const float>, float, ExtraLoss, View<bfloat16>);

}  // namespace switchyard
