// Sweeps over one token at a time, shared among threads, and three products; sums over tokens are
// taken afterwards by one thread, in token order.
#include "moe/router.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "tensor/ops.hpp"
#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {
namespace {

// to = from * U, element-wise, with U uniform in [1-eps, 1+eps) and drawn anew from the stream: the
// same factors forward and backward, and none of them stored. `to` may be `from`. Both [N, D].
void multiply_by_jitter(const Jitter& jitter, View<const float> from, View<float> to) {
  constexpr std::int64_t chunk = 64;  // blocks of four elements drawn at a time
  const float low = 1 - jitter.eps, width = 2 * jitter.eps;
  for_each_shared(from.rows, 16 * from.size(), [&](std::int64_t t) {
    std::uint32_t words[4 * chunk];
    for (std::int64_t first = 0; first < from.cols; first += 4 * chunk) {
      const std::int64_t count = std::min(4 * chunk, from.cols - first);
      for (std::int64_t block = 0; 4 * block < count; ++block) {
        const auto four = jitter.stream.block(jitter.token_index[t], first / 4 + block);
        std::copy(four.begin(), four.end(), words + 4 * block);
      }
      const float* in = from.row(t) + first;
      float* out = to.row(t) + first;
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i)
        out[i] = in[i] * (low + width * unit_float(words[i]));
    }
  });
}

Tensor<float> copy_of(View<const float> from) {
  auto copy = Tensor<float>::uninitialized(from.rows, from.cols);
  for (std::int64_t i = 0; i < from.rows; ++i)
    std::copy_n(from.row(i), from.cols, copy.view().row(i));
  return copy;
}

// What the router multiplies, [N, D] and [D, E]: the caller's, or copies jittered and rounded.
struct Operands {
  Tensor<float> own_x, own_weights;
  View<const float> x, weights;
};

Operands operands(const RouterInput& input) {
  Operands seen{{}, {}, input.x, input.weights};
  const bool jitters = input.jitter.eps != 0, rounds = input.precision == Precision::bfloat16;
  if (jitters || rounds) {
    seen.own_x = copy_of(input.x);
    seen.x = std::as_const(seen.own_x).view();
  }
  if (jitters) multiply_by_jitter(input.jitter, input.x, seen.own_x.view());
  if (rounds) {
    seen.own_weights = copy_of(input.weights);
    seen.weights = std::as_const(seen.own_weights).view();
    round_in_place(seen.own_x.view());
    round_in_place(seen.own_weights.view());
  }
  return seen;
}

struct TokenSums {
  float log_normalizer = 0, entropy = 0;
};

// logits [E] -> probabilities, in place. The entropy is log Z - sum p l with both taken relative to
// the largest logit, which needs no logarithm of each probability.
TokenSums softmax(float* row, std::int64_t E) {
  const float largest = lane_max(row, E);
  const auto weight = [&](std::int64_t e) { return fast_exp(row[e] - largest); };
  const float sum = lane_sum(E, weight), inverse = 1 / sum;
  const float mean =
      lane_sum(E, [&](std::int64_t e) { return weight(e) * inverse * (row[e] - largest); });
  // The largest adds e^0, so the sum is 1 or more; otherwise it is NaN and has to stay so.
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

// Sums over the group in token order, in f64. entropy [N].
RoutingStats group_stats(const Routing& routing, std::span<const float> entropy) {
  const auto p = routing.probabilities.view();
  const std::int64_t N = p.rows, E = p.cols;
  RoutingStats stats;
  stats.tokens_per_expert.assign(E, 0);
  std::vector<double> probability_sum(E, 0.0);
  for (std::int64_t t = 0; t < N; ++t) {
    if (routing.expert[t] < 0) continue;
    const double log_normalizer = routing.log_normalizer.data()[t];
    ++stats.real_tokens;
    ++stats.tokens_per_expert[routing.expert[t]];
    stats.z_sum += log_normalizer * log_normalizer;
    stats.confidence_sum += routing.gate[t];
    stats.entropy_sum += entropy[t];
    const float* row = p.row(t);
    for (std::int64_t e = 0; e < E; ++e) probability_sum[e] += row[e];
  }
  if (stats.real_tokens == 0) return stats;
  const auto real = static_cast<double>(stats.real_tokens);
  for (std::int64_t e = 0; e < E; ++e)  // E sum f P
    stats.balance_loss += static_cast<double>(E) *
                          (static_cast<double>(stats.tokens_per_expert[e]) / real) *
                          (probability_sum[e] / real);
  return stats;
}

// d loss / d logits [N, E]; zero rows for padding.
Tensor<float> logit_gradients(const Routing& routing, std::span<const float> d_gate,
                              RouterLossScale scale) {
  const auto p = routing.probabilities.view();
  const std::int64_t N = p.rows, E = p.cols;
  // d loss / d p_e by the load-balancing loss, the same for every real token: E f_e / real.
  std::vector<float> d_balance(E, 0.0f);
  if (const auto real = static_cast<double>(routing.stats.real_tokens); real > 0)
    for (std::int64_t e = 0; e < E; ++e)
      d_balance[e] = static_cast<float>(scale.balance * static_cast<double>(E) *
                                        static_cast<double>(routing.stats.tokens_per_expert[e]) /
                                        (real * real));
  auto d_logits = Tensor<float>::uninitialized(N, E);
  for_each_shared(N, N * E, [&](std::int64_t t) {
    const float* p_t = p.row(t);
    float* d = d_logits.view().row(t);
    const std::int32_t chosen = routing.expert[t];
    if (chosen < 0) {
      std::fill_n(d, E, 0.0f);
      return;
    }
    // Softmax does not see what all d p have in common; taken relative to the chosen expert's they
    // stay exact when its probability is almost 1.
    const float common = d_balance[chosen] + d_gate[t];
    for (std::int64_t e = 0; e < E; ++e) d[e] = e == chosen ? 0.0f : d_balance[e] - common;
    const float mean = lane_sum(E, [&](std::int64_t e) { return p_t[e] * d[e]; });
    const float d_lse = 2 * scale.z * routing.log_normalizer.data()[t];
    for (std::int64_t e = 0; e < E; ++e) d[e] = p_t[e] * ((d[e] - mean) + d_lse);
  });
  return d_logits;
}

}  // namespace

Routing route(Work& work, const RouterInput& input) {
  const std::int64_t N = input.x.rows, E = input.weights.cols;
  assert(std::ssize(input.real) == N);
  Routing routing{Tensor<float>::uninitialized(N, E),
                  Tensor<float>::uninitialized(1, N),
                  std::vector<std::int32_t>(N, -1),
                  std::vector<float>(N, 0.0f),
                  {}};
  const Operands seen = operands(input);
  const View<float> logits = routing.probabilities.view();  // in their place
  gemm<float, float>(work, seen.x, Transpose::no, seen.weights, Transpose::no, logits);
  const bool rounds = input.precision == Precision::bfloat16;
  if (rounds) round_in_place(logits);
  std::vector<float> entropy(N, 0.0f);
  for_each_shared(N, 8 * N * E, [&](std::int64_t t) {
    float* row = logits.row(t);
    if (!input.real[t]) {
      std::fill(row, row + E, 0.0f);
      routing.log_normalizer.data()[t] = 0;
      return;
    }
    const TokenSums sums = softmax(row, E);
    if (rounds) std::transform(row, row + E, row, round_to_bfloat16);
    routing.log_normalizer.data()[t] = sums.log_normalizer;
    entropy[t] = sums.entropy;
    routing.expert[t] = lowest_argmax(row, E);
    routing.gate[t] = row[routing.expert[t]];
  });
  routing.stats = group_stats(routing, entropy);
  return routing;
}

void route_backward(Work& work, const RouterInput& input, const Routing& routing,
                    std::span<const float> d_gate, RouterLossScale scale,
                    const RouterGradients& gradients) {
  Tensor<float> d_logits = logit_gradients(routing, d_gate, scale);  // [N, E]
  if (input.precision == Precision::bfloat16) round_in_place(d_logits.view());
  const View<const float> d = std::as_const(d_logits).view();
  Operands seen = operands(input);
  gemm<float, float>(work, seen.x, Transpose::yes, d, Transpose::no, gradients.weights,
                     Accumulate::yes);
  if (input.jitter.eps == 0) {
    gemm<float, float>(work, d, Transpose::no, seen.weights, Transpose::yes, gradients.x,
                       Accumulate::yes);
    return;
  }
  // d loss / d (x U) takes the place of x U, which is not needed any more.
  const View<float> d_jittered = seen.own_x.view();
  gemm<float, float>(work, d, Transpose::no, seen.weights, Transpose::yes, d_jittered);
  multiply_by_jitter(input.jitter, d_jittered, d_jittered);
  add(d_jittered, gradients.x);
}

}  // namespace switchyard
