// Expert capacity, and the tokens dropped when every token chooses its experts uniformly at random:
// the share that is dropped although no expert is preferred.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// E[max(0, X - capacity)] with X ~ Binomial(tokens, choices/experts): of the tokens of one routing
// group, each of which chooses `choices` different experts, the expected number that one expert
// drops. Computed as the exact sum.
double expected_overflow(std::int64_t tokens, std::int64_t experts, std::int64_t capacity,
                         std::int64_t choices = 1);

// C of a routing group of N positions in training; N with dropless routing.
std::int64_t training_capacity(const MoeConfig& moe, std::int64_t positions);

// What one virtual rank routes in one stack in one micro-step.
struct CapacityPlan {
  std::int64_t positions = 0;  // N, padding included
  std::int64_t tokens = 0;     // real tokens among them: those that are routed
  std::int64_t choices = 1;    // at most so many experts compute a token
  std::int64_t capacity = 0;   // at most so many rows per expert
  // Each row is a routing group, and all capacity is used whatever the routing.
  bool by_row = false;
  // Rows that all experts compute under uniform routing. Where second choices depend on gates, as
  // if all were made.
  double rows = 0;
  // The share of choices that is dropped, expected under uniform routing. Unset where uniform
  // routing does not determine it: NTLB tries further experts, TOP2 may not make its second choice,
  // and where experts choose or mix tokens none is dropped.
  std::optional<double> dropped_share;

  // The most rows that `experts` of the experts can compute.
  std::int64_t most_rows(std::int64_t experts) const {
    const std::int64_t places = experts * capacity;
    return by_row ? places : std::min(std::min(choices, experts) * tokens, places);
  }
};

// `config` must have at least one expert.
CapacityPlan plan_capacity(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                           bool decoder);

}  // namespace switchyard
