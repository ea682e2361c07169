// Routing in which experts choose tokens (Zhou et al. 2022): each expert takes the C tokens of a
// row that are most probable among the row's tokens. A row is a routing group, so an answer does
// not depend on other rows; but it depends on all of its own, which a decoder may not see.
#pragma once

#include <cstdint>
#include <span>

#include "base/bfloat16.hpp"
#include "base/buffer.hpp"
#include "moe/selection.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

struct ExpertChoiceRule {
  std::int64_t row_length = 0;  // N is a whole number of rows
  double capacity_factor = 1;
  std::int64_t min_capacity = 0;
  Precision precision = Precision::float32;  // bfloat16 rounds the probabilities
};

struct ExpertChoice {
  Tensor<float> p;            // [N, E] softmax over the row's real tokens; 0 for padding
  Buffer<float> token_mean;   // [N] of p over the experts
  Buffer<std::int64_t> real;  // [rows] n: real tokens of each row
  double balance_sum = 0;     // sum over rows of n sum_t mean_t^2: 1 each at perfect balance
  std::int64_t places = 0;    // sum over rows of E*C, C = min(n, max(floor(n cf/E), min))
};

struct ChosenTokens {
  ExpertChoice choice;
  Selection selection;  // choice e is of expert e; the weight is p over the number of experts that
                        // chose the token
};

// logits [N, E]; real [N].
ChosenTokens choose_tokens(const ExpertChoiceRule& rule, View<const float> logits,
                           std::span<const std::uint8_t> real);
// d loss / d logits [N, E] of the weights, d_weight [E, N], and of the balance loss, d_balance of
// each row's. The choice, and how many chose a token, are constants.
Tensor<float> choose_tokens_backward(const ExpertChoiceRule& rule, const ExpertChoice& choice,
                                     const Selection& selection, std::span<const float> d_weight,
                                     float d_balance);

}  // namespace switchyard
