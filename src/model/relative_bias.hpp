// T5's relative position bias (Raffel et al. 2020, section 2.1): one table a stack, added to the
// scores of all its self-attention layers. Knows distances and buckets; not what attention does
// with them.
#pragma once

#include <cstdint>

#include "model/sequence.hpp"
#include "tensor/param.hpp"

namespace switchyard {

inline constexpr std::int64_t relative_buckets = 32;

// The bucket of distance = key position - query position, 0 … 31. Bidirectional (encoder): half of
// the buckets for keys behind, half for keys ahead. Causal (decoder): keys ahead share bucket 0.
std::int64_t relative_bucket(std::int64_t distance, bool bidirectional);

// The additive bias of each head by distance, for rows of n positions.
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
  // Adds one layer's d loss / d bias, pieces [h*b*H, 2n-1] by distance, to the table's gradient
  // leaves: rows in order, then distances in order.
  void backward(ParamSet& params, const Sequence& sequence, View<const float> pieces) const;

 private:
  std::size_t table_;
  bool bidirectional_;
};

}  // namespace switchyard
