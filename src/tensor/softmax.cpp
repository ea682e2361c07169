// Attention's softmax with its mask and relative-position bias, and the cross-entropy of a
// vocabulary.
#include <algorithm>

#include "tensor/ops.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {

namespace {

std::int64_t visible_keys(std::int64_t query, std::int64_t valid_keys, bool causal) {
  return causal ? std::min(valid_keys, query + 1) : valid_keys;
}

// exp(x - max) in place; returns the sum.
float exponentiate(float* __restrict x, std::int64_t n, float max) {
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) x[j] = fast_exp(x[j] - max);
  return lane_sum(n, [=](std::int64_t j) { return x[j]; });
}

}  // namespace

template <class T>
void attention_softmax_forward(View<float> scores, const float* bias_by_distance,
                               std::int64_t valid_keys, bool causal, View<T> weights) {
  for_each_shared(scores.rows, scores.size(), [&](std::int64_t i) {
    float* row = scores.row(i);
    T* out = weights.row(i);
    const std::int64_t n = visible_keys(i, valid_keys, causal);
    if (bias_by_distance != nullptr) {
      const float* __restrict bias = bias_by_distance - i;
#pragma omp simd
      for (std::int64_t j = 0; j < n; ++j) row[j] += bias[j];
    }
    const float factor = 1.0f / exponentiate(row, n, lane_max(row, n));
#pragma omp simd
    for (std::int64_t j = 0; j < n; ++j) out[j] = from_float<T>(row[j] * factor);
    std::fill(out + n, out + weights.cols, T{});
  });
}

template void attention_softmax_forward(View<float>, const float*, std::int64_t, bool, View<float>);
template void attention_softmax_forward(View<float>, const float*, std::int64_t, bool,
                                        View<bfloat16>);

template <class T>
void attention_softmax_backward(ConstView<T> weights, View<float> d, float* d_bias_by_distance,
                                std::int64_t valid_keys, bool causal, View<T> d_scores) {
  for_each_shared(d.rows, d.size(), [&](std::int64_t i) {
    const T* __restrict w = weights.row(i);
    float* row = d.row(i);
    T* out = d_scores.row(i);
    const std::int64_t n = visible_keys(i, valid_keys, causal);
    const float mean = lane_sum(n, [=](std::int64_t j) { return to_float(w[j]) * row[j]; });
#pragma omp simd
    for (std::int64_t j = 0; j < n; ++j) {
      row[j] = to_float(w[j]) * (row[j] - mean);
      out[j] = from_float<T>(row[j]);
    }
    std::fill(out + n, out + d_scores.cols, T{});
  });
  if (d_bias_by_distance == nullptr) return;
  for (std::int64_t i = 0; i < d.rows; ++i) {
    const float* __restrict row = d.row(i);
    float* __restrict d_bias = d_bias_by_distance - i;
    const std::int64_t n = visible_keys(i, valid_keys, causal);
#pragma omp simd
    for (std::int64_t j = 0; j < n; ++j) d_bias[j] += row[j];
  }
}

template void attention_softmax_backward<float>(View<const float>, View<float>, float*,
                                                std::int64_t, bool, View<float>);
template void attention_softmax_backward<bfloat16>(View<const bfloat16>, View<float>, float*,
                                                   std::int64_t, bool, View<bfloat16>);

void cross_entropy_forward(View<const float> logits, std::span<const std::int32_t> targets,
                           std::span<float> loss, std::span<float> log_z, std::int32_t* argmax) {
  for_each_shared(logits.rows, logits.size(), [&](std::int64_t i) {
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
  for_each_shared(logits.rows, logits.size(), [&](std::int64_t i) {
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
  for_each_shared(logits.rows, logits.size(), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const float* row = logits.row(i);
    T* out = d.row(i);
    if (targets[at] < 0) {
      std::fill(out, out + d.cols, T{});
      return;
    }
    // Copies: a store to `out` cannot change them.
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
