// The routing of one group of tokens, whichever the method: from what the layer sees of them to who
// computes what, the losses and the statistics; and the backward of all of it. No communication,
// no capacity of its own: both come from the layer.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/buffer.hpp"
#include "moe/expert_choice.hpp"
#include "moe/load_balance.hpp"
#include "moe/moe_config.hpp"
#include "moe/probabilities.hpp"
#include "moe/router.hpp"
#include "moe/selection.hpp"

namespace switchyard {

// What one virtual rank's routing was like; sums, so that they can be added in canonical order.
struct RoutingStats {
  std::int64_t groups = 1;  // routing groups: one, or one per row
  std::int64_t real_tokens = 0;
  std::int64_t wanted = 0;                 // what drops are a share of: choices that tokens
                                           // made; tokens, where one place is enough for each
  std::int64_t dropped = 0;                // of them, those that found no place
  std::int64_t computed = 0;               // rows that experts compute
  std::int64_t places = 0;                 // that experts had: E*C of each group
  Buffer<std::int64_t> tokens_per_expert;  // [E] wanted it, before capacity
  double balance_sum = 0;                  // of the groups' load-balancing losses
  double z_sum = 0;                        // sum over real tokens of logsumexp^2
  double confidence_sum = 0;               // over real tokens, of the best expert's probability
  double entropy_sum = 0;                  // sum over real tokens of -sum p log p
};

struct Routing {
  Probabilities probabilities;         // empty where nothing is learnt
  LoadBalance balance;                 // where tokens choose
  std::optional<ExpertChoice> choice;  // where experts do
  Selection selection;
  RoutingStats stats;

  // [N] the expert that each token would go to first, the most probable one where experts choose;
  // -1 for padding.
  Buffer<std::int32_t> first_choice() const;
};

// The same for `route` and `route_backward`: nothing of it is changed by either.
struct RoutingInput {
  RoutingMethod method = RoutingMethod::switch_top1;
  RouterInput router;
  std::span<const std::uint8_t> real;   // [N]
  std::span<const std::int32_t> given;  // [N] hash: each real token's expert
  std::span<const float> bias;          // [E] added to probabilities for the choice; empty: none
  ChoiceRule choice;                    // where tokens choose, or are given
  ExpertChoiceRule expert_choice;       // where experts do
  std::optional<TokenDraws> sampling;   // of experts, in training
  float sample_temperature = 1;
  bool force_load_balancing = false;  // where tokens choose
};

// `experts`: E.
Routing route(Work& work, const RoutingInput& input, std::int64_t experts);

// Weights of the losses as the whole run's objective has them, for one virtual rank's micro-step.
struct RouterLossScale {
  double balance = 0;  // d loss / d balance of one group: weight / number of groups
  float z = 0;         // d loss / d z_sum: weight / real tokens of the step in this stack
};

// d_weight [k, N]: d loss / d gate of kept choices, 0 of all others. The choices, f and the
// capacity are constants; every probability of a real token gets the load-balancing gradient,
// dropped or not. Adds to `gradients`; nothing where nothing is learnt.
void route_backward(Work& work, const RoutingInput& input, const Routing& routing,
                    std::span<const float> d_weight, RouterLossScale scale,
                    const RouterGradients& gradients);

}  // namespace switchyard
