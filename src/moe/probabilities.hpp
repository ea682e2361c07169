// From a group's logits to each token's probabilities over the experts, with the router z-loss
// (Zoph et al. 2022), and the backward of both. In f32; no sum runs over tokens but those of
// statistics, in f64 and token order.
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

// logits [N, E], used up; real [N]. bfloat16 rounds the probabilities.
Probabilities expert_softmax(Tensor<float> logits, std::span<const std::uint8_t> real,
                             Precision precision = Precision::float32);

// Sum over real tokens of the largest probability, in token order.
double confidence(const Probabilities& probabilities);

struct ProbabilityGradients {
  Tensor<float> p;    // [N, E] d loss / d p, of each token alone
  Buffer<float> all;  // [E] the same for every real token, besides; empty: none
  float z_sum = 0;    // d loss / d z_sum
};

// d loss / d logits [N, E]; zero for padding.
Tensor<float> expert_softmax_backward(const Probabilities& probabilities, ProbabilityGradients d);

}  // namespace switchyard
