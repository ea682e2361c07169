// Accumulates the gradient of a row's keys or values in one head from blocks of queries, in a fixed
// order. It does not know which keys a query sees.
#pragma once

#include "model/attention_pairs.hpp"
#include "tensor/gemm.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {

// The sum is taken in f32 in the order in which blocks arrive, and rounded to In once at the end.
// In f32, `all` itself holds the sum. `all` [m, K] must be the same matrix from start to finish.
template <class In>
class KeySum {
 public:
  explicit KeySum(const AttentionPairs& pairs) : room_(rounds<In> ? pairs.keys * pairs.d_kv : 0) {}

  void start(View<In> all) {
    const View<float> sum = sum_of(all);
    for (std::int64_t i = 0; i < sum.rows; ++i) std::fill_n(sum.row(i), sum.cols, 0.0f);
  }
  // Adds a^T b to the gradients of the keys from `first` on. a [queries, keys], b [queries, K].
  void add(Work& work, std::int64_t first, View<const In> a, View<const In> b, View<In> all) {
    gemm<In, float>(work, a, Transpose::yes, b, Transpose::no, sum_of(all).row_range(first, a.cols),
                    Accumulate::yes);
  }
  void finish(View<In> all) {
    if constexpr (rounds<In>) convert<float, In>(sum_of(all), all);
  }

 private:
  View<float> sum_of(View<In> all) { return f32_place(all, room_.mine(all.rows, all.cols)); }

  ThreadRoom<float> room_;
};

}  // namespace switchyard
