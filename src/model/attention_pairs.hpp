// What full and windowed attention share between the projections: their inputs and outputs, the
// (row, head) pairs that threads divide among themselves, the dropout on attention weights, and
// per-thread scratch memory. It does not know which keys a query sees.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cassert>
#include <span>
#include <type_traits>

#include "model/attention.hpp"
#include "tensor/ops.hpp"

namespace switchyard {

// Arguments that forward and backward share.
template <class In>
struct AttentionPass {
  StepContext& context;
  const AttentionConfig& config;
  const AttentionInput<In>& input;
  const PositionBias* bias;  // null without relative_bias

  std::int64_t valid_keys(std::int64_t row) const {
    return input.keys.row_lengths[static_cast<std::size_t>(row)];
  }
  FullScores full_scores(std::int64_t row, std::int64_t first_query) const {
    return {first_query, valid_keys(row), config.causal};
  }
  bool keeps_weights() const { return config.keep_weights && context.mode == Mode::train; }
  const float* bias_of(std::int64_t head) const { return bias ? bias->head(head) : nullptr; }
};

// Arguments and results of backward, between the backward passes of the projections.
template <class In>
struct HeadGradients {
  View<const In> d_context;  // [h*b*n, H*K]
  View<In> dq;               // [h*b*n, H*K], written
  View<In> dk, dv;           // [h*b*m, H*K], written
  View<float> d_bias;        // [h*b*H, 2n-1], added to; empty without relative_bias

  // By distance, in the layout that attention_softmax_backward takes.
  float* d_bias_of(std::int64_t pair) const {
    return d_bias.size() > 0 ? d_bias.row(pair) + d_bias.cols / 2 : nullptr;
  }
};

// The matrix views of each (row, head) pair: the columns of one head in q, k and v, which are
// strided, and the scores of that pair, which are contiguous. Pairs are numbered row-major, heads
// fastest.
struct AttentionPairs {
  std::int64_t rows, heads, d_kv;  // h*b, H, K
  std::int64_t queries, keys;      // n, m

  template <class In>
  explicit AttentionPairs(const AttentionPass<In>& pass)
      : rows(pass.input.queries.ranks * pass.input.queries.rows),
        heads(pass.config.heads),
        d_kv(pass.config.d_kv),
        queries(pass.input.queries.length),
        keys(pass.input.keys.length) {}

  std::int64_t count() const { return rows * heads; }
  std::int64_t row(std::int64_t pair) const { return pair / heads; }
  std::int64_t head(std::int64_t pair) const { return pair % heads; }

  template <class T>
  View<T> of_queries(View<T> all, std::int64_t pair) const {  // -> [n, K]
    return part(all, pair, queries);
  }
  template <class T>
  View<T> of_keys(View<T> all, std::int64_t pair) const {  // -> [m, K]
    return part(all, pair, keys);
  }

 private:
  template <class T>
  View<T> part(View<T> all, std::int64_t pair, std::int64_t length) const {
    return all.row_range(row(pair) * length, length).col_range(head(pair) * d_kv, d_kv);
  }
};

// Dropout on the attention weights of one pair: the draw of a query for head h and key j is element
// h*m + j.
class WeightsDropout {
 public:
  template <class In>
  explicit WeightsDropout(const AttentionPass<In>& pass)
      : rate_(pass.config.weights_dropout.rate_in(pass.context)),
        stream_(pass.config.weights_dropout.stream(pass.context)),
        pairs_(pass),
        index_(pass.input.queries.index) {}

  bool active() const { return rate_ > 0; }
  // weights: a block of consecutive queries and keys of the pair, starting at the given positions.
  template <class T>
  void apply(View<T> weights, std::int64_t pair, std::int64_t first_query,
             std::int64_t first_key) const {
    const auto first = static_cast<std::size_t>(pairs_.row(pair) * pairs_.queries + first_query);
    const auto index = index_.subspan(first, static_cast<std::size_t>(weights.rows));
    apply_dropout(weights, rate_, stream_, index, pairs_.head(pair) * pairs_.keys + first_key);
  }

 private:
  float rate_;
  RandomStream stream_;
  AttentionPairs pairs_;
  std::span<const std::uint64_t> index_;  // [h*b*n]
};

// Per-thread scratch memory for a matrix of at most `elements` elements.
template <class T>
class ThreadRoom {
 public:
  explicit ThreadRoom(std::int64_t elements)
      : all_(Tensor<T>::uninitialized(omp_get_max_threads(), elements)) {}
  View<T> mine(std::int64_t rows, std::int64_t cols) {
    assert(all_.cols() == 0 || rows * cols <= all_.cols());
    return {all_.view().row(omp_get_thread_num()), rows, cols};
  }

 private:
  Tensor<T> all_;
};

template <class In>
constexpr bool rounds = !std::is_same_v<In, float>;

// to [m, n] = from^T, in square tiles for which both matrices stay in cache.
template <class T>
void copy_transposed(View<const T> from, View<T> to) {
  constexpr std::int64_t side = 32;
  for (std::int64_t first = 0; first < to.rows; first += side) {
    const std::int64_t end = std::min(first + side, to.rows);
    for (std::int64_t j = 0; j < to.cols; j += side) {
      const std::int64_t count = std::min(side, to.cols - j);
      for (std::int64_t i = first; i < end; ++i)
        for (std::int64_t l = 0; l < count; ++l) to.row(i)[j + l] = from.row(j + l)[i];
    }
  }
}

// A head's part of a matrix with contiguous rows, which bf16 products need: a copy in per-thread
// scratch memory. In f32 it is the part itself.
template <class In>
class DenseHead {
 public:
  explicit DenseHead(std::int64_t elements) : room_(rounds<In> ? elements : 0) {}

  View<const In> read(View<const In> part) {
    if constexpr (!rounds<In>) return part;
    const View<In> dense = place(View<In>(nullptr, part.rows, part.cols));
    copy_rows(part, dense);
    return dense;
  }
  // The matrix to compute into; `write` then copies it to the part.
  View<In> place(View<In> part) {
    if constexpr (!rounds<In>) return part;
    return room_.mine(part.rows, part.cols);
  }
  void write(View<In> part) {
    if constexpr (rounds<In>) copy_rows<In>(place(part), part);
  }

 private:
  ThreadRoom<In> room_;
};

}  // namespace switchyard
