// Expert-choice routing (Zhou et al. 2022): each expert takes the C tokens of a row for which its
// probability, normalised over the row's tokens, is largest. A row is a routing group, so the
// result for one row does not depend on other rows. It does depend on all tokens of the row, which
// rules it out in a causal decoder.
#pragma once

#include <cstdint>
#include <span>

#include "base/bfloat16.hpp"
#include "base/buffer.hpp"
#include "moe/selection.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

struct ExpertChoiceRule {
  std::int64_t row_length = 0;  // N is a multiple of it
  double capacity_factor = 1;
  std::int64_t min_capacity = 0;
  Precision precision = Precision::float32;  // bfloat16: probabilities are rounded
};

struct ExpertChoice {
  Tensor<float> p;            // [N, E] softmax over the row's real tokens; 0 for padding
  Buffer<float> token_mean;   // [N] mean of p over the experts
  Buffer<std::int64_t> real;  // [rows] n: number of real tokens in each row
  // Sum over rows of n sum_t mean_t^2, which is 1 per row at perfect balance.
  double balance_sum = 0;
  std::int64_t places = 0;  // sum over rows of E*C, C = min(n, max(floor(n cf/E), min_capacity))
};

struct ChosenTokens {
  ExpertChoice choice;
  Selection selection;  // choice e is of expert e; the weight is p over the number of experts that
                        // chose the token
};

// logits [N, E]; real [N].
ChosenTokens choose_tokens(const ExpertChoiceRule& rule, View<const float> logits,
                           std::span<const std::uint8_t> real);
// Returns d loss / d logits [N, E]. d_weight [E, N]: gradient of the weights; d_balance: gradient
// of each row's balance loss. The choices, and the number of experts that chose a token, are
// treated as constants.
Tensor<float> choose_tokens_backward(const ExpertChoiceRule& rule, const ExpertChoice& choice,
                                     const Selection& selection, std::span<const float> d_weight,
                                     float d_balance);

}  // namespace switchyard
