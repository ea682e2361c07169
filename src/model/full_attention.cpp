#include "model/full_attention.hpp"

#include <optional>

#include "tensor/gemm.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

// Makes the weights of one pair after the other, the same bits in forward and in backward.
template <class In>
class PairWeights {
 public:
  PairWeights(const AttentionPass<In>& pass, const AttentionSaved<In>& saved)
      : pass_(pass),
        saved_(saved),
        pairs_(pass),
        score_room_(rounds<In> ? pairs_.queries * pairs_.keys : 0) {}

  // weights [n, m]: softmax(q k^T + bias), before dropout.
  void compute(std::int64_t pair, View<In> weights) {
    const View<float> scores = f32_place(weights, score_room_.mine(weights.rows, weights.cols));
    gemm<In, float>(pass_.context.work, pairs_.of_queries(saved_.q.view(), pair), Transpose::no,
                    pairs_.of_keys(saved_.k.view(), pair), Transpose::yes, scores);
    attention_softmax_forward(scores, pass_.full_scores(pairs_.row(pair), 0),
                              pass_.bias_of(pairs_.head(pair)), weights);
  }

 private:
  const AttentionPass<In>& pass_;
  const AttentionSaved<In>& saved_;
  Pairs pairs_;
  ThreadRoom<float> score_room_;
};

// The weights as the context product saw them: themselves, or a dropped copy in `scratch`.
template <class In>
View<const In> dropped(const WeightsDropout& dropout, View<const In> weights, std::int64_t pair,
                       View<In> scratch) {
  if (!dropout.active()) return weights;
  std::copy_n(weights.data, weights.size(), scratch.data);
  dropout.apply(scratch, pair, 0, 0);
  return scratch;
}

}  // namespace

template <class In>
void full_attention_forward(const AttentionPass<In>& pass, AttentionSaved<In>& saved) {
  const Pairs pairs(pass);
  const std::int64_t n = pairs.queries, m = pairs.keys;
  const WeightsDropout dropout(pass);
  const bool keep = pass.keeps_weights();
  if (keep) saved.weights = Tensor<In>::uninitialized(pairs.count(), n * m);
  PairWeights<In> softmax(pass, saved);
  ThreadRoom<In> weights_room(keep ? 0 : n * m), dropped_room(dropout.active() ? n * m : 0);
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    const View<In> weights =
        keep ? View<In>(saved.weights.view().row(pair), n, m) : weights_room.mine(n, m);
    softmax.compute(pair, weights);
    gemm<In, In>(pass.context.work, dropped<In>(dropout, weights, pair, dropped_room.mine(n, m)),
                 Transpose::no, pairs.of_keys(std::as_const(saved).v.view(), pair), Transpose::no,
                 pairs.of_queries(saved.context.view(), pair));
  }
}

template <class In>
void full_attention_backward(const AttentionPass<In>& pass, const AttentionSaved<In>& saved,
                             const HeadGradients<In>& gradients) {
  const Pairs pairs(pass);
  const std::int64_t n = pairs.queries, m = pairs.keys;
  Work& work = pass.context.work;
  const WeightsDropout dropout(pass);
  std::optional<PairWeights<In>> again;  // where forward has kept none
  if (saved.weights.size() == 0) again.emplace(pass, saved);
  ThreadRoom<In> weights_room(again ? n * m : 0), dropped_room(dropout.active() ? n * m : 0),
      input_room(rounds<In> ? n * m : 0);
  ThreadRoom<float> room(n * m);
  const auto weights_of = [&](std::int64_t pair) -> View<const In> {
    if (!again) return {saved.weights.view().row(pair), n, m};
    again->compute(pair, weights_room.mine(n, m));
    return weights_room.mine(n, m);
  };
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    const View<const In> weights = weights_of(pair);
    const View<const In> d_out = pairs.of_queries(gradients.d_context, pair);
    gemm<In, In>(work, dropped(dropout, weights, pair, dropped_room.mine(n, m)), Transpose::yes,
                 d_out, Transpose::no, pairs.of_keys(gradients.dv, pair));
    const View<float> d_weights = room.mine(n, m);
    gemm<In, float>(work, d_out, Transpose::no, pairs.of_keys(saved.v.view(), pair), Transpose::yes,
                    d_weights);
    dropout.apply(d_weights, pair, 0, 0);
    const View<In> d_scores = input_place(d_weights, input_room.mine(n, m));
    attention_softmax_backward(weights, d_weights, pass.full_scores(pairs.row(pair), 0),
                               gradients.d_bias_of(pair), d_scores);
    gemm<In, In>(work, d_scores, Transpose::no, pairs.of_keys(saved.k.view(), pair), Transpose::no,
                 pairs.of_queries(gradients.dq, pair));
    gemm<In, In>(work, d_scores, Transpose::yes, pairs.of_queries(saved.q.view(), pair),
                 Transpose::no, pairs.of_keys(gradients.dk, pair));
  }
}

#define SWITCHYARD_INSTANTIATE(In)                                                           \
  template void full_attention_forward(const AttentionPass<In>&, AttentionSaved<In>&);       \
  template void full_attention_backward(const AttentionPass<In>&, const AttentionSaved<In>&, \
                                        const HeadGradients<In>&);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
