#include "model/window_attention.hpp"

#include <optional>
#include <utility>

#include "base/team_failure.hpp"
#include "model/key_sum.hpp"
#include "model/window_tiles.hpp"
#include "tensor/gemm.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

// A tile's part of a pair's weights. pair: [1, elements of all tiles].
template <class T>
View<T> tile_of(View<T> pair, const WindowTile& tile) {  // -> [tile.queries, tile.keys]
  return {pair.data + tile.offset, tile.queries, tile.keys};
}

template <class T>
View<T> queries_of(View<T> all, const WindowTile& tile) {  // [S, K] -> [tile.queries, K]
  return all.row_range(tile.scores.first_query, tile.queries);
}

// The keys or values for a tile's columns: the rows themselves where they are contiguous, else a
// gathered copy in per-thread scratch memory.
template <class In>
class Columns {
 public:
  Columns(const WindowTiles& tiles, std::int64_t d_kv) : room_(tiles.most_keys() * d_kv) {}

  View<const In> of(View<const In> all, const WindowTile& tile) {  // [S, K] -> [tile.keys, K]
    const auto& [first_query, globals, first_key, reach] = tile.scores;
    if (tile.contiguous()) return all.row_range(first_key - globals, tile.keys);
    const View<In> together = room_.mine(tile.keys, all.cols);
    for (std::int64_t i = 0; i < tile.keys; ++i) {
      const std::int64_t key = i < globals ? i : first_key + i - globals;
      std::copy_n(all.row(key), all.cols, together.row(i));
    }
    return together;
  }

 private:
  ThreadRoom<In> room_;
};

// Computes attention weights tile by tile, with the same bits in forward and in backward.
template <class In>
class TileWeights {
 public:
  TileWeights(const AttentionPass<In>& pass, const WindowTiles& tiles)
      : pass_(pass), pairs_(pass), score_room_(rounds<In> ? tiles.most_elements() : 0) {}

  // q [tile.queries, K], k [tile.keys, K]. weights: softmax(q k^T + bias), before dropout.
  void compute(std::int64_t pair, const WindowTile& tile, View<const In> q, View<const In> k,
               View<In> weights) {
    const View<float> scores = f32_place(weights, score_room_.mine(tile.queries, tile.keys));
    gemm<In, float>(pass_.context.work, q, Transpose::no, k, Transpose::yes, scores);
    window_softmax_forward(scores, tile.scores, pass_.bias_of(pairs_.head(pair)),
                           pass_.valid_keys(pairs_.row(pair)), weights);
  }

 private:
  const AttentionPass<In>& pass_;
  AttentionPairs pairs_;
  ThreadRoom<float> score_room_;
};

template <class T>
void drop(const WeightsDropout& dropout, View<T> weights, std::int64_t pair,
          const WindowTile& tile) {
  const auto& [first_query, globals, first_key, reach] = tile.scores;
  dropout.apply(weights.col_range(0, globals), pair, first_query, 0);
  dropout.apply(weights.col_range(globals, tile.near_keys()), pair, first_query, first_key);
}

// The weights as the context product uses them: unchanged without dropout, else a dropped-out copy
// in per-thread scratch memory.
template <class In>
class DroppedWeights {
 public:
  DroppedWeights(const WeightsDropout& dropout, const WindowTiles& tiles)
      : dropout_(dropout), room_(dropout.active() ? tiles.most_elements() : 0) {}

  View<const In> of(View<const In> weights, std::int64_t pair, const WindowTile& tile) {
    if (!dropout_.active()) return weights;
    const View<In> copy = room_.mine(tile.queries, tile.keys);
    std::copy_n(weights.data, weights.size(), copy.data);
    drop(dropout_, copy, pair, tile);
    return copy;
  }

 private:
  const WeightsDropout& dropout_;
  ThreadRoom<In> room_;
};

// Adds a^T b to the gradients of the keys in the tile's columns. a [tile.queries, tile.keys], b
// [tile.queries, K].
template <class In>
void add_tile(KeySum<In>& sum, Work& work, const WindowTile& tile, View<const In> a,
              View<const In> b, View<In> all) {
  const auto& [first_query, globals, first_key, reach] = tile.scores;
  sum.add(work, 0, a.col_range(0, globals), b, all);
  sum.add(work, first_key, a.col_range(globals, tile.near_keys()), b, all);
}

}  // namespace

template <class In>
void window_attention_forward(const AttentionPass<In>& pass, AttentionSaved<In>& saved) {
  const AttentionPairs pairs(pass);
  const WindowTiles tiles(*pass.config.window, pairs.queries);
  const WeightsDropout dropout(pass);
  const bool keep = pass.keeps_weights();
  if (keep) saved.weights = Tensor<In>::uninitialized(pairs.count(), tiles.elements());
  TileWeights<In> softmax(pass, tiles);
  DroppedWeights<In> dropped(dropout, tiles);
  ThreadRoom<In> weights_room(keep ? 0 : tiles.most_elements());
  Columns<In> k_columns(tiles, pairs.d_kv), v_columns(tiles, pairs.d_kv);
  const View<const In> q = saved.q.view(), k = saved.k.view(), v = saved.v.view();
  TeamFailure failure;
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    failure.keep([&] {
      for (const WindowTile& tile : tiles) {
        const View<In> weights = keep ? tile_of(saved.weights.row_range(pair, 1), tile)
                                      : weights_room.mine(tile.queries, tile.keys);
        softmax.compute(pair, tile, queries_of(pairs.of_queries(q, pair), tile),
                        k_columns.of(pairs.of_keys(k, pair), tile), weights);
        gemm<In, In>(pass.context.work, dropped.of(weights, pair, tile), Transpose::no,
                     v_columns.of(pairs.of_keys(v, pair), tile), Transpose::no,
                     queries_of(pairs.of_queries(saved.context.view(), pair), tile));
      }
    });
  }
  failure.rethrow();
}

template <class In>
void window_attention_backward(const AttentionPass<In>& pass, const AttentionSaved<In>& saved,
                               const HeadGradients<In>& gradients) {
  const AttentionPairs pairs(pass);
  const WindowTiles tiles(*pass.config.window, pairs.queries);
  Work& work = pass.context.work;
  const WeightsDropout dropout(pass);
  std::optional<TileWeights<In>> again;  // recomputes weights that forward has not kept
  if (saved.weights.size() == 0) again.emplace(pass, tiles);
  DroppedWeights<In> dropped(dropout, tiles);
  ThreadRoom<In> weights_room(again ? tiles.most_elements() : 0),
      input_room(rounds<In> ? tiles.most_elements() : 0);
  ThreadRoom<float> room(tiles.most_elements());
  Columns<In> k_columns(tiles, pairs.d_kv), v_columns(tiles, pairs.d_kv);
  KeySum<In> k_sum(pairs), v_sum(pairs);

  const auto differentiate = [&](std::int64_t pair, const WindowTile& tile) {
    const View<const In> q = queries_of(pairs.of_queries(saved.q.view(), pair), tile),
                         d_out = queries_of(pairs.of_queries(gradients.d_context, pair), tile),
                         k = k_columns.of(pairs.of_keys(saved.k.view(), pair), tile),
                         v = v_columns.of(pairs.of_keys(saved.v.view(), pair), tile);
    View<const In> weights;
    if (again) {
      again->compute(pair, tile, q, k, weights_room.mine(tile.queries, tile.keys));
      weights = weights_room.mine(tile.queries, tile.keys);
    } else {
      weights = tile_of(saved.weights.row_range(pair, 1), tile);
    }
    add_tile<In>(v_sum, work, tile, dropped.of(weights, pair, tile), d_out,
                 pairs.of_keys(gradients.dv, pair));
    const View<float> d_weights = room.mine(tile.queries, tile.keys);
    gemm<In, float>(work, d_out, Transpose::no, v, Transpose::yes, d_weights);
    drop(dropout, d_weights, pair, tile);
    const View<In> d_scores = input_place(d_weights, input_room.mine(tile.queries, tile.keys));
    window_softmax_backward(weights, d_weights, tile.scores, gradients.d_bias_of(pair),
                            pass.valid_keys(pairs.row(pair)), d_scores);
    gemm<In, In>(work, d_scores, Transpose::no, k, Transpose::no,
                 queries_of(pairs.of_queries(gradients.dq, pair), tile));
    add_tile<In>(k_sum, work, tile, d_scores, q, pairs.of_keys(gradients.dk, pair));
  };
  TeamFailure failure;
#pragma omp parallel for schedule(static)
  for (std::int64_t pair = 0; pair < pairs.count(); ++pair) {
    failure.keep([&] {
      const View<In> dk = pairs.of_keys(gradients.dk, pair), dv = pairs.of_keys(gradients.dv, pair);
      k_sum.start(dk);
      v_sum.start(dv);
      for (const WindowTile& tile : tiles) differentiate(pair, tile);
      k_sum.finish(dk);
      v_sum.finish(dv);
    });
  }
  failure.rethrow();
}

#define SWITCHYARD_INSTANTIATE(In)                                                             \
  template void window_attention_forward(const AttentionPass<In>&, AttentionSaved<In>&);       \
  template void window_attention_backward(const AttentionPass<In>&, const AttentionSaved<In>&, \
                                          const HeadGradients<In>&);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
