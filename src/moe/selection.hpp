// Which experts compute which tokens of a group, and with what gate: from probabilities to choices,
// places within capacity, and drops, for every routing in which tokens choose; and the backward to
// probabilities. It knows neither routers nor ranks.
//
// Worked example, two choices per token, C = 1: t0 wants e0 then e1, t1 wants e0 then e2.
//   first choices, in token order: t0 gets e0's only place, t1 is dropped there;
//   second choices: t0 gets e1, t1 gets e2. The gate of a dropped choice is not passed on to
//   another choice.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/buffer.hpp"
#include "base/philox.hpp"
#include "moe/moe_config.hpp"
#include "moe/probabilities.hpp"

namespace switchyard {

// The outcome of a token's choice.
enum class Fate : std::uint8_t {
  none,      // padding, or no such choice
  declined,  // not made: a second choice by policy, or a later one once an earlier has a place
  dropped,   // the expert was full
  kept,
};

// The j-th choice of token t is element j*N + t of each array.
struct Selection {
  std::int64_t choices = 0, tokens = 0;  // k, N
  Buffer<std::int32_t> expert;           // [k, N] different for each choice of a token; -1: none
  Buffer<float> weight;                  // [k, N] the gate; 0: none
  Buffer<Fate> fate;                     // [k, N]

  static Selection of_nothing(std::int64_t choices, std::int64_t tokens);
};

// One random draw per token. Only used in training: evaluation draws no random numbers.
struct TokenDraws {
  RandomStream stream;
  std::span<const std::uint64_t> token_index;  // [N]
};

// How tokens choose experts. `choices` = 1 is the routing of the Switch Transformer.
struct ChoiceRule {
  std::int64_t choices = 1;            // k <= E
  float normalizer_term = 0;           // added to the sum that normalises the gates (TOP2: 1e-9)
  bool normalize = false;              // divide gates by the sum of the token's k probabilities
  std::optional<SecondPolicy> second;  // for the second choice; unset: both choices are made
  float second_threshold = 0.2f;
  bool until_placed = false;  // No-Token-Left-Behind: a choice is made only if all before it failed
  DropPolicy drop = DropPolicy::position;
  std::int64_t capacity = 0;  // C
  // Element 0; unset: the policy `random` acts as `threshold`.
  std::optional<TokenDraws> second_draws;
  // Element j is for the j-th choice; unset: the policy `random` acts as `position`.
  std::optional<TokenDraws> drop_draws;
};

// scores [N, E] rank the experts of each token, ties going to the lowest expert; the gates are the
// probabilities in any case. First choices of all tokens are served first, then second choices and
// so on, each in the order of the drop policy (ties in token order), while the expert has places.
Selection choose_experts(const ChoiceRule& rule, const Probabilities& probabilities,
                         View<const float> scores);
// Adds to d_p [N, E] the gradient that d_weight [k, N], which is 0 for choices that are not kept,
// implies for the probabilities. Choices and fates are treated as constants.
void choose_experts_backward(const ChoiceRule& rule, const Selection& selection,
                             const Probabilities& probabilities, std::span<const float> d_weight,
                             View<float> d_p);

// One choice per token with gate 1, for hash routing (Roller et al. 2021). expert [N]: the expert
// of the hash of the token's id, -1 for padding.
Selection serve_given(const ChoiceRule& rule, Buffer<std::int32_t> expert);

// scores [N, E] = p + bias.
Tensor<float> biased_scores(const Probabilities& probabilities, std::span<const float> bias);
// scores [N, E] by which token t prefers expert t mod E, then the next one, and so on; p [N, E].
Tensor<float> round_robin_scores(const Tensor<float>& p);
// scores [N, E] = logits + temperature * Gumbel noise per (token, expert); the expert with the
// largest score is a draw from softmax(logits / temperature).
Tensor<float> sampled_scores(View<const float> logits, float temperature, const TokenDraws& draws);

}  // namespace switchyard
