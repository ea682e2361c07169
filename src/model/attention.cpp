#include "model/attention.hpp"

#include <omp.h>

#include <algorithm>
#include <optional>
#include <span>
#include <type_traits>

#include "model/linear.hpp"
#include "tensor/gemm.hpp"
#include "tensor/ops.hpp"
#include "tensor/rounding.hpp"

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

template <class In>
Pairs pairs_of(const AttentionConfig& config, const AttentionInput<In>& input) {
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
  template <class T>
  void apply(View<T> weights, std::int64_t row, std::int64_t head) const {
    const auto index = index_.subspan(static_cast<std::size_t>(row) * length_, length_);
    apply_dropout(weights, rate_, stream_, index, head * weights.cols);
  }
  // The weights as the context product saw them: themselves, or a dropped copy in `scratch`.
  template <class In>
  View<const In> dropped(View<const In> weights, View<In> scratch, std::int64_t row,
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

// Room for one pair's matrix [n, m] in each thread.
template <class T>
class ThreadRoom {
 public:
  ThreadRoom(const Pairs& pairs, bool needed) : rows_(needed ? pairs.queries : 0) {
    all_ = Tensor<T>::uninitialized(omp_get_max_threads() * rows_, pairs.keys);
  }
  View<T> mine() { return all_.row_range(omp_get_thread_num() * rows_, rows_); }

 private:
  std::int64_t rows_;
  Tensor<T> all_;
};

template <class In>
constexpr bool rounds = !std::is_same_v<In, float>;

// Makes the weights of one pair after the other, the same bits in forward and in backward.
template <class In>
class PairWeights {
 public:
  PairWeights(const AttentionConfig& config, const AttentionInput<In>& input,
              const PositionBias* bias, const Pairs& pairs)
      : causal_(config.causal),
        key_lengths_(input.keys.row_lengths),
        bias_(bias),
        pairs_(pairs),
        score_room_(pairs, rounds<In>) {}

  // weights [n, m]: softmax(q k^T + bias), before dropout.
  void compute(Work& work, const AttentionSaved<In>& saved, std::int64_t pair, View<In> weights) {
    const std::int64_t row = pair / pairs_.heads, head = pair % pairs_.heads;
    const View<float> scores = f32_place(weights, score_room_.mine());
    gemm<In, float>(work, pairs_.head(saved.q.view(), pair, pairs_.queries), Transpose::no,
                    pairs_.head(saved.k.view(), pair, pairs_.keys), Transpose::yes, scores);
    attention_softmax_forward(scores, bias_ ? bias_->head(head) : nullptr,
                              key_lengths_[static_cast<std::size_t>(row)], causal_, weights);
  }

 private:
  bool causal_;
  std::span<const std::int32_t> key_lengths_;
  const PositionBias* bias_;
  Pairs pairs_;
  ThreadRoom<float> score_room_;
};

}  // namespace

template <class In>
AttentionSaved<In> Attention::forward(StepContext& context, const ParamSet& params,
                                      const AttentionInput<In>& input, const PositionBias* bias,
                                      View<float> y) const {
  const ScopedPhase phase(context.timer, Phase::attention);
  const Pairs pairs = pairs_of(config_, input);
  const std::int64_t ranks = input.queries.ranks, width = pairs.heads * pairs.d_kv;
  Work& work = context.work;
  AttentionSaved<In> saved{Tensor<In>::uninitialized(input.x.rows, width),
                           Tensor<In>::uninitialized(input.source.rows, width),
                           Tensor<In>::uninitialized(input.source.rows, width),
                           {},
                           Tensor<In>::uninitialized(input.x.rows, width)};
  const bool keep = config_.keep_weights && context.mode == Mode::train;
  if (keep) saved.weights = Tensor<In>::uninitialized(pairs.count() * pairs.queries, pairs.keys);
  linear_forward(work, ranks, input.x, params[config_.q], saved.q.view());
  linear_forward(work, ranks, input.source, params[config_.k], saved.k.view());
  linear_forward(work, ranks, input.source, params[config_.v], saved.v.view());

  const WeightsDropout dropout(context, config_.weights_dropout, input.queries);
  PairWeights<In> softmax(config_, input, bias, pairs);
  ThreadRoom<In> weights_room(pairs, !keep), dropped_room(pairs, dropout.active());
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    const std::int64_t row = pair / pairs.heads, head = pair % pairs.heads;
    const View<In> weights = keep ? pairs.scores(saved.weights.view(), pair) : weights_room.mine();
    softmax.compute(work, saved, pair, weights);
    gemm<In, In>(work, dropout.dropped<In>(weights, dropped_room.mine(), row, head), Transpose::no,
                 pairs.head(saved.v.view(), pair, pairs.keys), Transpose::no,
                 pairs.head(saved.context.view(), pair, pairs.queries));
  }
  linear_forward<In>(work, ranks, saved.context.view(), params[config_.o], y);
  return saved;
}

template <class In>
Tensor<float> Attention::backward(StepContext& context, ParamSet& params,
                                  const AttentionInput<In>& input, const AttentionSaved<In>& saved,
                                  const PositionBias* bias,
                                  const AttentionGradients& gradients) const {
  const ScopedPhase phase(context.timer, Phase::attention);
  const Pairs pairs = pairs_of(config_, input);
  const std::int64_t ranks = input.queries.ranks, width = pairs.heads * pairs.d_kv;
  Work& work = context.work;
  const Converted<In, float> dy(gradients.dy);
  auto d_context = Tensor<In>::uninitialized(input.x.rows, width);
  auto dq = Tensor<In>::uninitialized(input.x.rows, width);
  auto dk = Tensor<In>::uninitialized(input.source.rows, width);
  auto dv = Tensor<In>::uninitialized(input.source.rows, width);
  Tensor<float> d_bias;
  if (config_.relative_bias) d_bias = Tensor<float>::zeros(pairs.count(), 2 * pairs.queries - 1);
  linear_backward_weight(work, saved.context.view(), dy.view(), params[config_.o]);
  linear_backward_input(work, ranks, dy.view(), params[config_.o], d_context.view(),
                        Accumulate::no);

  const WeightsDropout dropout(context, config_.weights_dropout, input.queries);
  std::optional<PairWeights<In>> again;  // where forward has kept none
  if (saved.weights.size() == 0) again.emplace(config_, input, bias, pairs);
  ThreadRoom<In> weights_room(pairs, again.has_value()), dropped_room(pairs, dropout.active()),
      input_room(pairs, rounds<In>);
  ThreadRoom<float> room(pairs, true);
  const auto weights_of = [&](std::int64_t pair) -> View<const In> {
    if (!again) return pairs.scores(saved.weights.view(), pair);
    again->compute(work, saved, pair, weights_room.mine());
    return weights_room.mine();
  };
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    const std::int64_t row = pair / pairs.heads, head = pair % pairs.heads;
    const View<const In> weights = weights_of(pair);
    const View<const In> d_out = pairs.head(std::as_const(d_context).view(), pair, pairs.queries);
    gemm<In, In>(work, dropout.dropped<In>(weights, dropped_room.mine(), row, head), Transpose::yes,
                 d_out, Transpose::no, pairs.head(dv.view(), pair, pairs.keys));
    const View<float> d_weights = room.mine();
    gemm<In, float>(work, d_out, Transpose::no, pairs.head(saved.v.view(), pair, pairs.keys),
                    Transpose::yes, d_weights);
    dropout.apply(d_weights, row, head);
    const View<In> d_scores = input_place(d_weights, input_room.mine());
    attention_softmax_backward(
        weights, d_weights,
        d_bias.size() > 0 ? d_bias.view().row(pair) + pairs.queries - 1 : nullptr,
        input.keys.row_lengths[static_cast<std::size_t>(row)], config_.causal, d_scores);
    gemm<In, In>(work, d_scores, Transpose::no, pairs.head(saved.k.view(), pair, pairs.keys),
                 Transpose::no, pairs.head(dq.view(), pair, pairs.queries));
    gemm<In, In>(work, d_scores, Transpose::yes, pairs.head(saved.q.view(), pair, pairs.queries),
                 Transpose::no, pairs.head(dk.view(), pair, pairs.keys));
  }
  linear_backward_weight<In>(work, input.x, dq.view(), params[config_.q]);
  linear_backward_weight<In>(work, input.source, dk.view(), params[config_.k]);
  linear_backward_weight<In>(work, input.source, dv.view(), params[config_.v]);
  linear_backward_input<In>(work, ranks, dq.view(), params[config_.q], gradients.dx,
                            Accumulate::no);
  linear_backward_input<In>(work, ranks, dk.view(), params[config_.k], gradients.d_source,
                            Accumulate::yes);
  linear_backward_input<In>(work, ranks, dv.view(), params[config_.v], gradients.d_source,
                            Accumulate::yes);
  return d_bias;
}

#define SWITCHYARD_INSTANTIATE(In)                                                                \
  template AttentionSaved<In> Attention::forward(                                                 \
      StepContext&, const ParamSet&, const AttentionInput<In>&, const PositionBias*, View<float>) \
      const;                                                                                      \
  template Tensor<float> Attention::backward(StepContext&, ParamSet&, const AttentionInput<In>&,  \
                                             const AttentionSaved<In>&, const PositionBias*,      \
                                             const AttentionGradients&) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
