// Softmax down the columns of a row's logits: for each expert, or each slot, over the row's real
// tokens. Used by the routings that consider a row as a whole.
#pragma once

#include <cstdint>
#include <span>

#include "base/bfloat16.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// logits [N, E], N a multiple of row_length; real [N]. -> [N, E]; 0 for padding. Sums run over a
// row's tokens in order. bfloat16: the probabilities are rounded.
Tensor<float> token_softmax(View<const float> logits, std::span<const std::uint8_t> real,
                            std::int64_t row_length, Precision precision = Precision::float32);
// p as above; d [N, E]: d loss / d p, any value for padding. -> d loss / d logits [N, E].
Tensor<float> token_softmax_backward(View<const float> p, Tensor<float> d, std::int64_t row_length);

}  // namespace switchyard
