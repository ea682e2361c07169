// T5's relative position bias (Raffel et al. 2020, section 2.1): one table per stack, added to the
// attention scores in all of its self-attention layers. It knows distances and buckets, not how
// attention uses them.
#pragma once

#include <cstdint>

#include "model/sequence.hpp"
#include "tensor/param.hpp"

namespace switchyard {

inline constexpr std::int64_t relative_buckets = 32;

// The bucket, 0 … 31, of distance = key position - query position. Bidirectional (encoder): half of
// the buckets are for keys before the query, half for keys after it. Causal (decoder): all keys
// after the query share bucket 0.
std::int64_t relative_bucket(std::int64_t distance, bool bidirectional);

// The additive bias for each head by distance, for rows of n positions.
struct PositionBias {
  std::int64_t length = 0;    // n
  Tensor<float> by_distance;  // [H, 2n-1], distance d at column d + n-1

  const float* head(std::int64_t h) const { return by_distance.view().row(h) + length - 1; }
};

class RelativeBias {
 public:
  // `table`: index of the [H, 32] tensor in the process's ParamSet.
  RelativeBias(std::size_t table, bool bidirectional)
      : table_(table), bidirectional_(bidirectional) {}

  PositionBias forward(const ParamSet& params, std::int64_t length) const;
  // Adds one layer's d loss / d bias, `pieces` [h*b*H, 2n-1] by distance, to the table's gradient
  // leaves: rows in order, then distances in order.
  void backward(ParamSet& params, const Sequence& sequence, View<const float> pieces) const;

 private:
  std::size_t table_;
  bool bidirectional_;
};

}  // namespace switchyard
