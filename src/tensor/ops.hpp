// The sweeps between matrix products, each forward beside its backward. A sweep works per row, so
// its bits do not depend on how many rows it is given; sums down the columns go in blocks of 64
// rows, in block order. Threads share rows or columns, never a sum. What enters a product is
// written as T, float or bfloat16, in the same sweep that computes it (in f32). No MPI, no oneDNN.
#pragma once

#include <cstdint>
#include <span>

#include "base/bfloat16.hpp"
#include "base/philox.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// RMSNorm (T5): y = x * rsqrt(mean(x^2) + epsilon) * scale. x, y [N, D], scale [D], inverse_rms
// [N].
template <class T>
void rms_norm_forward(View<const float> x, std::span<const float> scale, float epsilon, View<T> y,
                      std::span<float> inverse_rms);
// Adds to dx [N, D] and d_scale [D].
void rms_norm_backward(View<const float> dy, View<const float> x, std::span<const float> scale,
                       std::span<const float> inverse_rms, View<float> dx,
                       std::span<float> d_scale);

// Inverted dropout: x *= mask / (1 - rate), element e of a row drawn from (token_index[row],
// first_element + e). Its own backward. rate 0: nothing happens.
template <class T>
void apply_dropout(View<T> x, float rate, const RandomStream& stream,
                   std::span<const std::uint64_t> token_index, std::int64_t first_element = 0);
// y = x * U, and y += x * U, with U uniform in [1 - epsilon, 1 + epsilon) and drawn like dropout's:
// the second is the backward of the first. [N, D]
void jitter(View<const float> x, float epsilon, const RandomStream& stream,
            std::span<const std::uint64_t> token_index, View<float> y);
void add_jittered(View<const float> x, float epsilon, const RandomStream& stream,
                  std::span<const std::uint64_t> token_index, View<float> y);

// y += x, element-wise. [N, D]
void add(View<const float> x, View<float> y);

template <class T>
void relu_forward(ConstView<T> x, View<T> y);
template <class T>
void relu_backward(ConstView<T> x, View<T> d);  // d *= (x > 0)
// y = gelu_tanh(a) * b
template <class T>
void gated_gelu_forward(ConstView<T> a, ConstView<T> b, View<T> y);
template <class T>
void gated_gelu_backward(ConstView<T> a, ConstView<T> b, ConstView<T> dy, View<T> da, View<T> db);

// Which queries stand in the rows of a matrix of scores whose columns are the keys from 0 on, and
// whom they see: the keys < valid_keys, and with `causal` only those up to their own position.
struct FullScores {
  std::int64_t first_query;  // position of row 0
  std::int64_t valid_keys;
  bool causal;
};
// Softmax of one head's scores [n_q, n_k] into weights, which may be the scores' place; the scores
// are used up. Hidden columns become 0, and a row without any key is all 0. On the calling thread
// alone: attention's threads share out heads.
// bias_by_distance: null, or the additive bias at key minus query = d, read at [d].
template <class T>
void attention_softmax_forward(View<float> scores, const FullScores& full,
                               const float* bias_by_distance, View<T> weights);
// d: d loss / d weights. d_scores: d loss / d scores, which may be d's place. weights: the
// softmax's output (before dropout). d_bias_by_distance: null, or added to at [key - query], query
// by query.
template <class T>
void attention_softmax_backward(ConstView<T> weights, View<const float> d, const FullScores& full,
                                float* d_bias_by_distance, View<T> d_scores);

// Which keys stand in the columns of a matrix of windowed scores, and which of them a query sees:
// keys 0 … globals-1 in the first columns, seen by all its queries; then the keys from first_key on
// (first_key >= globals), seen where |key - query| <= reach.
struct WindowedScores {
  std::int64_t first_query;  // position of row 0
  std::int64_t globals;
  std::int64_t first_key;
  std::int64_t reach;
};
// The same softmax over what a window lets queries see, keys < valid_keys alone. Hidden columns
// become 0. bias_by_distance as above, by true positions.
template <class T>
void window_softmax_forward(View<float> scores, const WindowedScores& window,
                            const float* bias_by_distance, std::int64_t valid_keys,
                            View<T> weights);
template <class T>
void window_softmax_backward(ConstView<T> weights, View<const float> d,
                             const WindowedScores& window, float* d_bias_by_distance,
                             std::int64_t valid_keys, View<T> d_scores);

// Rows of the table by id: y[i] = table[ids[i]], or 0 where ids[i] < 0. table [W, D], y [N, D].
void embedding_forward(View<const float> table, std::span<const std::int32_t> ids, View<float> y);
// d_table[ids[i]] += dy[i], occurrences of a row in token order; ids < 0 are skipped. Threads split
// rows of the table.
void embedding_backward(View<const float> dy, std::span<const std::int32_t> ids,
                        View<float> d_table);

}  // namespace switchyard
