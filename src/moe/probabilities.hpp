// From a group's logits to each token's probabilities over the experts, with the router z-loss
// (Zoph et al. 2022), and the backward of both. In f32. Only sums for statistics run over tokens;
// they are taken in f64 in token order.
#pragma once

#include <cstdint>
#include <span>

#include "base/bfloat16.hpp"
#include "base/buffer.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

struct Probabilities {
  Tensor<float> p;               // [N, E]; rows of padding are zero
  Tensor<float> log_normalizer;  // [1, N] logsumexp of the logits; 0 for padding
  Buffer<std::int32_t> top;      // [N] argmax of the row, the lowest on ties; -1 for padding; a
                                 // row with a NaN has expert 0
  double z_sum = 0;              // sum over real tokens of logsumexp^2
  double entropy_sum = 0;        // sum over real tokens of -sum p log p
};

// logits [N, E] are consumed; real [N]. bfloat16: probabilities are rounded.
Probabilities expert_softmax(Tensor<float> logits, std::span<const std::uint8_t> real,
                             Precision precision = Precision::float32);

// Sum over real tokens of the largest probability, in token order.
double confidence(const Probabilities& probabilities);

struct ProbabilityGradients {
  Tensor<float> p;    // [N, E] d loss / d p for each token
  Buffer<float> all;  // [E] d loss / d p, added for every real token; empty: none
  float z_sum = 0;    // d loss / d z_sum
};

// d loss / d logits [N, E]; zero for padding.
Tensor<float> expert_softmax_backward(const Probabilities& probabilities, ProbabilityGradients d);

}  // namespace switchyard
