// The routing of one group of tokens with any method: from the tokens' activations to which experts
// compute them, the losses and the statistics, and the backward of all of it. No communication. The
// expert capacity comes from the layer.
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

// Statistics of one virtual rank's routing, as sums, so that they can be added in canonical order.
struct RoutingStats {
  std::int64_t groups = 1;  // routing groups: one, or one per row
  std::int64_t real_tokens = 0;
  // The denominator of the drop rate: choices that tokens made, or tokens where one place is enough
  // for each.
  std::int64_t wanted = 0;
  std::int64_t dropped = 0;                // of `wanted`, those that found no place
  std::int64_t computed = 0;               // rows computed by experts
  std::int64_t places = 0;                 // capacity of all experts: sum of E*C over groups
  Buffer<std::int64_t> tokens_per_expert;  // [E] choices of each expert, before capacity
  double balance_sum = 0;                  // sum of the groups' load-balancing losses
  double z_sum = 0;                        // sum over real tokens of logsumexp^2
  double confidence_sum = 0;               // sum over real tokens of the largest probability
  double entropy_sum = 0;                  // sum over real tokens of -sum p log p
};

struct Routing {
  Probabilities probabilities;         // empty without a learnt router
  LoadBalance balance;                 // where tokens choose experts
  std::optional<ExpertChoice> choice;  // where experts choose tokens
  Selection selection;
  RoutingStats stats;

  // [N] the first-choice expert of each token, or the most probable one where experts choose; -1
  // for padding.
  Buffer<std::int32_t> first_choice() const;
};

// Input of both `route` and `route_backward`; neither changes it.
struct RoutingInput {
  RoutingMethod method = RoutingMethod::switch_top1;
  RouterInput router;
  std::span<const std::uint8_t> real;   // [N]
  std::span<const std::int32_t> given;  // [N] hash: expert of each real token
  std::span<const float> bias;  // [E] added to probabilities when experts are chosen; empty: none
  ChoiceRule choice;            // where tokens choose, or by hash
  ExpertChoiceRule expert_choice;      // where experts choose
  std::optional<TokenDraws> sampling;  // Gumbel sampling of experts, in training
  float sample_temperature = 1;
  bool force_load_balancing = false;  // where tokens choose
};

// `experts`: E. Not collective.
Routing route(Work& work, const RoutingInput& input, std::int64_t experts);

// Weights of the router losses in the objective of the whole run, for one virtual rank's
// micro-step.
struct RouterLossScale {
  double balance = 0;  // d loss / d balance loss of one group: weight / number of groups
  float z = 0;         // d loss / d z_sum: weight / real tokens of the step in this stack
};

// d_weight [k, N]: d loss / d gate of kept choices, 0 for all others. The choices, f and the
// capacity are treated as constants. Every probability of a real token gets the load-balancing
// gradient, whether the token was dropped or not. Adds to `gradients`; does nothing without a
// learnt router.
void route_backward(Work& work, const RoutingInput& input, const Routing& routing,
                    std::span<const float> d_weight, RouterLossScale scale,
                    const RouterGradients& gradients);

}  // namespace switchyard
