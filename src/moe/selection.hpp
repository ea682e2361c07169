// Which experts compute which tokens of a group, and with what weight their answers count: from
// probabilities to choices, places and drops, for every routing in which tokens choose, and
// the backward to probabilities. Knows neither routers nor ranks.
//
// Worked example, two choices a token, C = 1: t0 wants e0 then e1, t1 wants e0 then e2.
//   first choices, in token order: t0 gets e0's only place, t1 is dropped there;
//   second choices: t0 gets e1, t1 gets e2. Nobody who is dropped gives weight to another choice.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/buffer.hpp"
#include "base/philox.hpp"
#include "moe/moe_config.hpp"
#include "moe/probabilities.hpp"

namespace switchyard {

// What became of a token's choice.
enum class Fate : std::uint8_t {
  none,      // padding, or no such choice
  declined,  // not taken: a second choice by its policy, a later one where an earlier had a place
  dropped,   // the expert was full
  kept,
};

// A token's j-th choice is element j*N + t of each.
struct Selection {
  std::int64_t choices = 0, tokens = 0;  // k, N
  Buffer<std::int32_t> expert;           // [k, N] different ones of a token; -1: none
  Buffer<float> weight;                  // [k, N] the gate; 0: none
  Buffer<Fate> fate;                     // [k, N]

  static Selection of_nothing(std::int64_t choices, std::int64_t tokens);
};

// A draw for each token, made only in training: `evaluation never draws`.
struct TokenDraws {
  RandomStream stream;
  std::span<const std::uint64_t> token_index;  // [N]
};

// How tokens choose. `choices` of 1 is the Switch Transformer's routing.
struct ChoiceRule {
  std::int64_t choices = 1;   // k <= E
  float normalizer_term = 0;  // added to the sum that normalises the gates (TOP2: 1e-9)
  bool normalize = false;     // gates are divided by the sum of the token's k probabilities
  std::optional<SecondPolicy> second;  // of the second choice; unset: both are taken
  float second_threshold = 0.2f;
  bool until_placed = false;  // No-Token-Left-Behind: a choice is taken where all before it failed
  DropPolicy drop = DropPolicy::position;
  std::int64_t capacity = 0;               // C
  std::optional<TokenDraws> second_draws;  // element 0; unset: random is threshold
  std::optional<TokenDraws> drop_draws;    // element j for the j-th choice; unset: random is
                                           // position
};

// scores [N, E]: what experts are compared by, the lowest expert first on ties; the gates are
// probabilities all the same. Choices are served one after the other, each in the order of the drop
// policy (ties in token order), first come first served.
Selection choose_experts(const ChoiceRule& rule, const Probabilities& probabilities,
                         View<const float> scores);
// Adds to d_p [N, E] what d_weight [k, N], 0 but for the kept, means for the probabilities. Choices
// and fates are constants.
void choose_experts_backward(const ChoiceRule& rule, const Selection& selection,
                             const Probabilities& probabilities, std::span<const float> d_weight,
                             View<float> d_p);

// One choice a token, expert of its id's hash, gate 1 (Roller et al. 2021). expert [N], -1 for
// padding.
Selection serve_given(const ChoiceRule& rule, Buffer<std::int32_t> expert);

// scores [N, E] = p + bias.
Tensor<float> biased_scores(const Probabilities& probabilities, std::span<const float> bias);
// scores [N, E] by which token t prefers expert t mod E, then the next, and so on; p [N, E].
Tensor<float> round_robin_scores(const Tensor<float>& p);
// scores [N, E] = logits + temperature * Gumbel noise of (token, expert); the largest is a draw
// from softmax(logits / temperature).
Tensor<float> sampled_scores(View<const float> logits, float temperature, const TokenDraws& draws);

}  // namespace switchyard
