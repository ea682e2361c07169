#include "model/attention.hpp"

#include <omp.h>

#include <algorithm>
#include <span>

#include "model/linear.hpp"
#include "tensor/gemm.hpp"
#include "tensor/ops.hpp"

namespace switchyard {
namespace {

// One (row, head) of the matrices that attention multiplies: a head's columns are strided, its
// scores stand alone. Pairs are numbered row-major, heads fastest.
struct Pairs {
  std::int64_t rows, heads, d_kv;  // h*b, H, K
  std::int64_t queries, keys;      // n, m

  std::int64_t count() const { return rows * heads; }

  template <class T>
  View<T> head(View<T> all, std::int64_t pair, std::int64_t length) const {  // -> [length, K]
    return all.row_range(pair / heads * length, length).col_range(pair % heads * d_kv, d_kv);
  }
  template <class T>
  View<T> scores(View<T> all, std::int64_t slot) const {  // -> [n, m]
    return all.row_range(slot * queries, queries);
  }
};

Pairs pairs_of(const AttentionConfig& config, const AttentionInput& input) {
  return {input.queries.ranks * input.queries.rows, config.heads, config.d_kv, input.queries.length,
          input.keys.length};
}

// Dropout on one pair's weights [n, m]: a query's draws for head h start at element h*m.
class WeightsDropout {
 public:
  WeightsDropout(const StepContext& context, const Dropout& dropout, const Sequence& queries)
      : rate_(dropout.rate_in(context)),
        stream_(dropout.stream(context)),
        index_(queries.index),
        length_(static_cast<std::size_t>(queries.length)) {}

  bool active() const { return rate_ > 0; }
  void apply(View<float> weights, std::int64_t row, std::int64_t head) const {
    const auto index = index_.subspan(static_cast<std::size_t>(row) * length_, length_);
    apply_dropout(weights, rate_, stream_, index, head * weights.cols);
  }
  // The weights as the context product saw them: themselves, or a dropped copy in `scratch`.
  View<const float> dropped(View<const float> weights, View<float> scratch, std::int64_t row,
                            std::int64_t head) const {
    if (!active()) return weights;
    std::copy_n(weights.data, weights.size(), scratch.data);
    apply(scratch, row, head);
    return scratch;
  }

 private:
  float rate_;
  RandomStream stream_;
  std::span<const std::uint64_t> index_;
  std::size_t length_;
};

// [threads * n, m]: one pair's scores for each thread.
Tensor<float> thread_scratch(const Pairs& pairs) {
  return Tensor<float>::uninitialized(omp_get_max_threads() * pairs.queries, pairs.keys);
}

}  // namespace

AttentionSaved Attention::forward(StepContext& context, const ParamSet& params,
                                  const AttentionInput& input, const PositionBias* bias,
                                  View<float> y) const {
  const ScopedPhase phase(context.timer, Phase::attention);
  const Pairs pairs = pairs_of(config_, input);
  const std::int64_t ranks = input.queries.ranks, width = pairs.heads * pairs.d_kv;
  Work& work = context.work;
  AttentionSaved saved{Tensor<float>::uninitialized(input.x.rows, width),
                       Tensor<float>::uninitialized(input.source.rows, width),
                       Tensor<float>::uninitialized(input.source.rows, width),
                       Tensor<float>::uninitialized(pairs.count() * pairs.queries, pairs.keys),
                       Tensor<float>::uninitialized(input.x.rows, width)};
  linear_forward(work, ranks, input.x, params[config_.q], saved.q.view());
  linear_forward(work, ranks, input.source, params[config_.k], saved.k.view());
  linear_forward(work, ranks, input.source, params[config_.v], saved.v.view());

  const WeightsDropout dropout(context, config_.weights_dropout, input.queries);
  Tensor<float> scratch = dropout.active() ? thread_scratch(pairs) : Tensor<float>();
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    const std::int64_t row = pair / pairs.heads, head = pair % pairs.heads;
    const View<float> weights = pairs.scores(saved.weights.view(), pair);
    gemm<float, float>(work, pairs.head(saved.q.view(), pair, pairs.queries), Transpose::no,
                       pairs.head(saved.k.view(), pair, pairs.keys), Transpose::yes, weights);
    attention_softmax_forward(weights, bias ? bias->head(head) : nullptr,
                              input.keys.row_lengths[static_cast<std::size_t>(row)],
                              config_.causal);
    const View<float> copy =
        dropout.active() ? pairs.scores(scratch.view(), omp_get_thread_num()) : View<float>();
    gemm<float, float>(work, dropout.dropped(weights, copy, row, head), Transpose::no,
                       pairs.head(saved.v.view(), pair, pairs.keys), Transpose::no,
                       pairs.head(saved.context.view(), pair, pairs.queries));
  }
  linear_forward(work, ranks, saved.context.view(), params[config_.o], y);
  return saved;
}

Tensor<float> Attention::backward(StepContext& context, ParamSet& params,
                                  const AttentionInput& input, const AttentionSaved& saved,
                                  const AttentionGradients& gradients) const {
  const ScopedPhase phase(context.timer, Phase::attention);
  const Pairs pairs = pairs_of(config_, input);
  const std::int64_t ranks = input.queries.ranks, width = pairs.heads * pairs.d_kv;
  Work& work = context.work;
  Tensor<float> d_context = Tensor<float>::uninitialized(input.x.rows, width);
  Tensor<float> dq = Tensor<float>::uninitialized(input.x.rows, width);
  Tensor<float> dk = Tensor<float>::uninitialized(input.source.rows, width);
  Tensor<float> dv = Tensor<float>::uninitialized(input.source.rows, width);
  Tensor<float> d_bias;
  if (config_.relative_bias) d_bias = Tensor<float>::zeros(pairs.count(), 2 * pairs.queries - 1);
  linear_backward_weight(work, saved.context.view(), gradients.dy, params[config_.o]);
  linear_backward_input(work, ranks, gradients.dy, params[config_.o], d_context.view(),
                        Accumulate::no);

  const WeightsDropout dropout(context, config_.weights_dropout, input.queries);
  Tensor<float> copies = dropout.active() ? thread_scratch(pairs) : Tensor<float>();
  Tensor<float> scratch = thread_scratch(pairs);
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    const std::int64_t row = pair / pairs.heads, head = pair % pairs.heads;
    const View<const float> weights = pairs.scores(saved.weights.view(), pair);
    const View<const float> d_out = pairs.head(d_context.view(), pair, pairs.queries);
    const View<float> copy =
        dropout.active() ? pairs.scores(copies.view(), omp_get_thread_num()) : View<float>();
    gemm<float, float>(work, dropout.dropped(weights, copy, row, head), Transpose::yes, d_out,
                       Transpose::no, pairs.head(dv.view(), pair, pairs.keys));
    const View<float> d_scores = pairs.scores(scratch.view(), omp_get_thread_num());
    gemm<float, float>(work, d_out, Transpose::no, pairs.head(saved.v.view(), pair, pairs.keys),
                       Transpose::yes, d_scores);
    dropout.apply(d_scores, row, head);
    attention_softmax_backward(
        weights, d_scores,
        d_bias.size() > 0 ? d_bias.view().row(pair) + pairs.queries - 1 : nullptr,
        input.keys.row_lengths[static_cast<std::size_t>(row)], config_.causal);
    gemm<float, float>(work, d_scores, Transpose::no, pairs.head(saved.k.view(), pair, pairs.keys),
                       Transpose::no, pairs.head(dq.view(), pair, pairs.queries));
    gemm<float, float>(work, d_scores, Transpose::yes,
                       pairs.head(saved.q.view(), pair, pairs.queries), Transpose::no,
                       pairs.head(dk.view(), pair, pairs.keys));
  }
  linear_backward_weight(work, input.x, dq.view(), params[config_.q]);
  linear_backward_weight(work, input.source, dk.view(), params[config_.k]);
  linear_backward_weight(work, input.source, dv.view(), params[config_.v]);
  linear_backward_input(work, ranks, dq.view(), params[config_.q], gradients.dx, Accumulate::no);
  linear_backward_input(work, ranks, dk.view(), params[config_.k], gradients.d_source,
                        Accumulate::yes);
  linear_backward_input(work, ranks, dv.view(), params[config_.v], gradients.d_source,
                        Accumulate::yes);
  return d_bias;
}

}  // namespace switchyard
