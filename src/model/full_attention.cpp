#include "model/full_attention.hpp"

#include <algorithm>
#include <optional>

#include "base/team_failure.hpp"
#include "model/key_sum.hpp"
#include "tensor/gemm.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

// Consecutive queries of a row whose scores are computed together.
struct QueryBlock {
  std::int64_t first, count;

  template <class T>
  View<T> of(View<T> all) const {  // [n, …] -> [count, …]
    return all.row_range(first, count);
  }
};

// Calls f(block) for each block of queries in order.
template <class F>
void for_each_block(const AttentionPairs& pairs, F f) {
  const std::int64_t most = queries_at_once(pairs.queries, pairs.keys);
  for (std::int64_t first = 0; first < pairs.queries; first += most)
    f(QueryBlock{first, std::min(most, pairs.queries - first)});
}

std::int64_t block_elements(const AttentionPairs& pairs) {
  return queries_at_once(pairs.queries, pairs.keys) * pairs.keys;
}

bool in_one_block(const AttentionPairs& pairs) {
  return queries_at_once(pairs.queries, pairs.keys) == pairs.queries;
}

// Computes attention weights block by block, with the same bits in forward and in backward.
template <class In>
class BlockWeights {
 public:
  explicit BlockWeights(const AttentionPass<In>& pass)
      : pass_(pass), pairs_(pass), score_room_(rounds<In> ? block_elements(pairs_) : 0) {}

  // q [n, K], k [m, K]. weights [block.count, m]: softmax(q k^T + bias), before dropout.
  void compute(std::int64_t pair, const QueryBlock& block, View<const In> q, View<const In> k,
               View<In> weights) {
    const View<float> scores = f32_place(weights, score_room_.mine(weights.rows, weights.cols));
    gemm<In, float>(pass_.context.work, block.of(q), Transpose::no, k, Transpose::yes, scores);
    attention_softmax_forward(scores, pass_.full_scores(pairs_.row(pair), block.first),
                              pass_.bias_of(pairs_.head(pair)), weights);
  }

 private:
  const AttentionPass<In>& pass_;
  AttentionPairs pairs_;
  ThreadRoom<float> score_room_;
};

// The weights of queries from `first` on as the context product uses them: unchanged without
// dropout, else a dropped-out copy in `scratch`.
template <class In>
View<const In> dropped(const WeightsDropout& dropout, View<const In> weights, std::int64_t pair,
                       std::int64_t first, View<In> scratch) {
  if (!dropout.active()) return weights;
  std::copy_n(weights.data, weights.size(), scratch.data);
  dropout.apply(scratch, pair, first, 0);
  return scratch;
}

// The gradient of a pair's keys or values, [m, K]: the product of the only block, or the sum over
// all blocks.
template <class In>
class KeyGradient {
 public:
  explicit KeyGradient(const AttentionPairs& pairs)
      : turned_(rounds<In> && pairs.queries * pairs.keys >= large),
        only_(in_one_block(pairs) ? pairs.keys * pairs.d_kv : 0) {
    if (!in_one_block(pairs)) sum_.emplace(pairs);
  }

  void start(View<In> all) {
    if (sum_) sum_->start(all);
  }
  // Adds a^T b. a [block.count, m], b [block.count, K].
  void add(Work& work, View<const In> a, View<const In> b, View<In> all) {
    if (sum_)
      sum_->add(work, 0, a, b, all);
    else if (turned_)
      gemm<In, In>(work, b, Transpose::yes, a, Transpose::no, turned_place(all));
    else
      gemm<In, In>(work, a, Transpose::yes, b, Transpose::no, only_.place(all));
  }
  void finish(View<In> all) {
    if (sum_)
      sum_->finish(all);
    else if (turned_)
      copy_transposed<In>(turned_place(all), all);
    else
      only_.write(all);
  }

 private:
  View<In> turned_place(View<In> all) {  // [K, m]
    return only_.place(View<In>(all.data, all.cols, all.rows));
  }

  static constexpr std::int64_t large = 1 << 17;
  bool turned_;  // computed as b^T a, since reading a large `a` down its columns is slow
  DenseHead<In> only_;
  std::optional<KeySum<In>> sum_;
};

}  // namespace

std::int64_t queries_at_once(std::int64_t queries, std::int64_t keys) {
  constexpr std::int64_t elements = 1 << 18, least = 64;
  return std::min(queries, std::max(elements / keys / least * least, least));
}

template <class In>
void full_attention_forward(const AttentionPass<In>& pass, AttentionSaved<In>& saved) {
  const AttentionPairs pairs(pass);
  const std::int64_t n = pairs.queries, m = pairs.keys, K = pairs.d_kv,
                     part = block_elements(pairs);
  const WeightsDropout dropout(pass);
  const bool keep = pass.keeps_weights();
  if (keep) saved.weights = Tensor<In>::uninitialized(pairs.count(), n * m);
  BlockWeights<In> softmax(pass);
  DenseHead<In> q_head(n * K), k_head(m * K), v_head(m * K), context_head(n * K);
  ThreadRoom<In> weights_room(keep ? 0 : part), dropped_room(dropout.active() ? part : 0);
  TeamFailure failure;
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    failure.keep([&] {
      const View<const In> q = q_head.read(pairs.of_queries(std::as_const(saved).q.view(), pair)),
                           k = k_head.read(pairs.of_keys(std::as_const(saved).k.view(), pair)),
                           v = v_head.read(pairs.of_keys(std::as_const(saved).v.view(), pair));
      const View<In> part_of_context = pairs.of_queries(saved.context.view(), pair);
      for_each_block(pairs, [&](const QueryBlock& block) {
        const View<In> weights = keep ? block.of(View<In>(saved.weights.view().row(pair), n, m))
                                      : weights_room.mine(block.count, m);
        softmax.compute(pair, block, q, k, weights);
        gemm<In, In>(
            pass.context.work,
            dropped<In>(dropout, weights, pair, block.first, dropped_room.mine(block.count, m)),
            Transpose::no, v, Transpose::no, block.of(context_head.place(part_of_context)));
      });
      context_head.write(part_of_context);
    });
  }
  failure.rethrow();
}

template <class In>
void full_attention_backward(const AttentionPass<In>& pass, const AttentionSaved<In>& saved,
                             const HeadGradients<In>& gradients) {
  const AttentionPairs pairs(pass);
  const std::int64_t n = pairs.queries, m = pairs.keys, K = pairs.d_kv,
                     part = block_elements(pairs);
  Work& work = pass.context.work;
  const WeightsDropout dropout(pass);
  std::optional<BlockWeights<In>> again;  // recomputes weights that forward has not kept
  if (saved.weights.size() == 0) again.emplace(pass);
  DenseHead<In> q_head(n * K), k_head(m * K), v_head(m * K), d_out_head(n * K), dq_head(n * K);
  KeyGradient<In> k_gradient(pairs), v_gradient(pairs);
  ThreadRoom<In> weights_room(again ? part : 0), dropped_room(dropout.active() ? part : 0),
      d_scores_room(rounds<In> ? part : 0);
  ThreadRoom<float> d_weights_room(part);
  TeamFailure failure;
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    failure.keep([&] {
      const View<const In> q = q_head.read(pairs.of_queries(saved.q.view(), pair)),
                           k = k_head.read(pairs.of_keys(saved.k.view(), pair)),
                           v = v_head.read(pairs.of_keys(saved.v.view(), pair)),
                           d_out = d_out_head.read(pairs.of_queries(gradients.d_context, pair));
      const View<In> dq = pairs.of_queries(gradients.dq, pair),
                     dk = pairs.of_keys(gradients.dk, pair), dv = pairs.of_keys(gradients.dv, pair);
      const auto weights_of = [&](const QueryBlock& block) -> View<const In> {
        if (!again) return block.of(View<const In>(saved.weights.view().row(pair), n, m));
        const View<In> weights = weights_room.mine(block.count, m);
        again->compute(pair, block, q, k, weights);
        return weights;
      };
      k_gradient.start(dk);
      v_gradient.start(dv);
      for_each_block(pairs, [&](const QueryBlock& block) {
        const View<const In> weights = weights_of(block);
        const View<float> d_weights = d_weights_room.mine(block.count, m);
        gemm<In, float>(work, block.of(d_out), Transpose::no, v, Transpose::yes, d_weights);
        dropout.apply(d_weights, pair, block.first, 0);
        const View<In> d_scores = input_place(d_weights, d_scores_room.mine(block.count, m));
        attention_softmax_backward<In>(weights, d_weights,
                                       pass.full_scores(pairs.row(pair), block.first),
                                       gradients.d_bias_of(pair), d_scores);
        // After the softmax backward: that one brings the weights into cache row by row, while this
        // product reads them down their columns.
        v_gradient.add(
            work, dropped(dropout, weights, pair, block.first, dropped_room.mine(block.count, m)),
            block.of(d_out), dv);
        gemm<In, In>(work, View<const In>(d_scores), Transpose::no, k, Transpose::no,
                     block.of(dq_head.place(dq)));
        k_gradient.add(work, d_scores, block.of(q), dk);
      });
      k_gradient.finish(dk);
      v_gradient.finish(dv);
      dq_head.write(dq);
    });
  }
  failure.rethrow();
}

#define SWITCHYARD_INSTANTIATE(In)                                                           \
  template void full_attention_forward(const AttentionPass<In>&, AttentionSaved<In>&);       \
  template void full_attention_backward(const AttentionPass<In>&, const AttentionSaved<In>&, \
                                        const HeadGradients<In>&);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
