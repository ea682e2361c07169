// The operations between matrix products ("sweeps"), forward and backward. A sweep computes each
// row independently, so its bits do not depend on the number of rows; sums down the columns are
// taken in blocks of 64 rows, in block order. Threads divide rows or columns among themselves,
// never a sum. An output that enters a matrix product is written as T, float or bfloat16, by the
// sweep that computes it in f32. No MPI, no oneDNN.
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

// Inverted dropout: x *= mask / (1 - rate). The draw for element e of a row is element
// first_element + e of item token_index[row]. The same call is its own backward. With rate 0 it
// does nothing.
template <class T>
void apply_dropout(View<T> x, float rate, const RandomStream& stream,
                   std::span<const std::uint64_t> token_index, std::int64_t first_element = 0);
// jitter: y = x * U; add_jittered: y += x * U, its backward. U is uniform in [1 - epsilon, 1 +
// epsilon) and drawn like dropout's mask. [N, D]
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

// The queries in the rows of a score matrix whose columns are the keys from 0 on, and which keys
// each query sees: keys < valid_keys, with `causal` only those up to the query's own position.
struct FullScores {
  std::int64_t first_query;  // position of row 0
  std::int64_t valid_keys;
  bool causal;
};
// Softmax of one head's scores [n_q, n_k] into weights, which may be the memory of the scores; the
// scores are overwritten. Columns of hidden keys become 0, and a row that sees no key is all 0.
// Runs on the calling thread alone, since attention divides heads among threads. bias_by_distance:
// null, or the additive bias for key minus query = d at index d.
template <class T>
void attention_softmax_forward(View<float> scores, const FullScores& full,
                               const float* bias_by_distance, View<T> weights);
// d: d loss / d weights. d_scores: d loss / d scores, written; may be the memory of d. weights: the
// softmax's output before dropout. d_bias_by_distance: null, or added to at index key - query,
// query by query.
template <class T>
void attention_softmax_backward(ConstView<T> weights, View<const float> d, const FullScores& full,
                                float* d_bias_by_distance, View<T> d_scores);

// The keys in the columns of a windowed score matrix, and which of them each query sees: keys 0 …
// globals-1 in the first columns, seen by all queries; then the keys from first_key on (first_key
// >= globals), seen where |key - query| <= reach.
struct WindowedScores {
  std::int64_t first_query;  // position of row 0
  std::int64_t globals;
  std::int64_t first_key;
  std::int64_t reach;
};
// The same softmax with visibility by window; only keys < valid_keys are visible. Columns of hidden
// keys become 0. bias_by_distance as above, by the true positions of query and key.
template <class T>
void window_softmax_forward(View<float> scores, const WindowedScores& window,
                            const float* bias_by_distance, std::int64_t valid_keys,
                            View<T> weights);
template <class T>
void window_softmax_backward(ConstView<T> weights, View<const float> d,
                             const WindowedScores& window, float* d_bias_by_distance,
                             std::int64_t valid_keys, View<T> d_scores);

// Looks up table rows by id: y[i] = table[ids[i]], or 0 where ids[i] < 0. table [W, D], y [N, D].
void embedding_forward(View<const float> table, std::span<const std::int32_t> ids, View<float> y);
// d_table[ids[i]] += dy[i], in token order for each table row; ids < 0 are skipped. Threads divide
// the rows of the table.
void embedding_backward(View<const float> dy, std::span<const std::int32_t> ids,
                        View<float> d_table);

}  // namespace switchyard
