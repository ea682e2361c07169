// Per-token sweeps, shared among threads. Sums over tokens are taken afterwards by one thread in
// token order.
#include "moe/probabilities.hpp"

#include <algorithm>
#include <cassert>

#include "base/buffer.hpp"
#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {
namespace {

struct TokenSums {
  float log_normalizer = 0, entropy = 0;
};

// logits [E] -> probabilities, in place. The entropy is computed as log Z - sum p l, with both
// relative to the largest logit, which avoids a logarithm per probability.
TokenSums softmax(float* row, std::int64_t E) {
  const float largest = lane_max(row, E);
  const auto weight = [&](std::int64_t e) { return fast_exp(row[e] - largest); };
  const float sum = lane_sum(E, weight), inverse = 1 / sum;
  const float mean =
      lane_sum(E, [&](std::int64_t e) { return weight(e) * inverse * (row[e] - largest); });
  // The largest logit contributes e^0 = 1, so the sum is at least 1. Otherwise it is NaN, which
  // must be preserved.
  const float log_sum = sum >= 1 ? static_cast<float>(fast_log(sum)) : sum;
  for (std::int64_t e = 0; e < E; ++e) row[e] = weight(e) * inverse;
  return {largest + log_sum, log_sum - mean};
}

std::int32_t lowest_argmax(const float* row, std::int64_t E) {
  std::int64_t best = 0;
  for (std::int64_t e = 1; e < E; ++e)
    if (row[e] > row[best]) best = e;
  return static_cast<std::int32_t>(best);
}

}  // namespace

Probabilities expert_softmax(Tensor<float> logits, std::span<const std::uint8_t> real,
                             Precision precision) {
  const std::int64_t N = logits.rows(), E = logits.cols();
  assert(std::ssize(real) == N);
  Probabilities result{std::move(logits), Tensor<float>::uninitialized(1, N),
                       Buffer<std::int32_t>(N, -1), 0, 0};
  const View<float> p = result.p.view();
  float* const log_normalizer = result.log_normalizer.data();
  Buffer<float> entropy(N, 0.0f);
  for_each_shared(N, 8 * N * E, [&](std::int64_t t) {
    float* row = p.row(t);
    if (!real[t]) {
      std::fill(row, row + E, 0.0f);
      log_normalizer[t] = 0;
      return;
    }
    const TokenSums sums = softmax(row, E);
    if (precision == Precision::bfloat16) std::transform(row, row + E, row, round_to_bfloat16);
    log_normalizer[t] = sums.log_normalizer;
    entropy[t] = sums.entropy;
    result.top[t] = lowest_argmax(row, E);
  });
  for (std::int64_t t = 0; t < N; ++t) {
    if (!real[t]) continue;
    const double z = log_normalizer[t];
    result.z_sum += z * z;
    result.entropy_sum += entropy[t];
  }
  return result;
}

double confidence(const Probabilities& probabilities) {
  double sum = 0;
  for (std::int64_t t = 0; t < probabilities.p.rows(); ++t)
    if (const std::int32_t top = probabilities.top[t]; top >= 0)
      sum += probabilities.p.view().row(t)[top];
  return sum;
}

Tensor<float> expert_softmax_backward(const Probabilities& probabilities, ProbabilityGradients d) {
  const View<const float> p = probabilities.p.view();
  const std::int64_t N = p.rows, E = p.cols;
  assert(d.all.empty() || std::ssize(d.all) == E);
  d.all.resize(E, 0.0f);
  for_each_shared(N, N * E, [&](std::int64_t t) {
    const float* p_t = p.row(t);
    float* d_t = d.p.view().row(t);
    const std::int32_t top = probabilities.top[t];
    if (top < 0) {
      std::fill_n(d_t, E, 0.0f);
      return;
    }
    // Adding a constant to all d p does not change the softmax's gradient. Subtracting that of the
    // most probable expert keeps the differences exact when its probability is almost 1.
    const float common = d.all[top] + d_t[top];
    for (std::int64_t e = 0; e < E; ++e) d_t[e] = (d.all[e] + d_t[e]) - common;
    d_t[top] = 0;
    const float mean = lane_sum(E, [&](std::int64_t e) { return p_t[e] * d_t[e]; });
    const float d_lse = 2 * d.z_sum * probabilities.log_normalizer.data()[t];
    for (std::int64_t e = 0; e < E; ++e) d_t[e] = p_t[e] * ((d_t[e] - mean) + d_lse);
  });
  return std::move(d.p);
}

}  // namespace switchyard
