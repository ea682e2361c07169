// How many places an expert has, and what it cannot take when every token draws its experts at
// random: the share that is dropped although no expert is preferred.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// E[max(0, X - capacity)] with X ~ Binomial(tokens, choices/experts): of the tokens of one routing
// group, each of which wants so many different experts, those that one expert turns away. The exact
// sum.
double expected_overflow(std::int64_t tokens, std::int64_t experts, std::int64_t capacity,
                         std::int64_t choices = 1);

// C of a group of N positions in training; N where it is dropless.
std::int64_t training_capacity(const MoeConfig& moe, std::int64_t positions);

// What one virtual rank routes in one part of the step, in one stack.
struct CapacityPlan {
  std::int64_t positions = 0;  // N, padding included
  std::int64_t tokens = 0;     // of them real, so routed
  std::int64_t choices = 1;    // experts that compute a token at most
  std::int64_t capacity = 0;   // rows that an expert computes at most
  bool by_row = false;         // each row is a group, and every place is used, whatever is routed
  double rows = 0;  // that all experts compute under uniform routing; where second choices hang on
                    // gates, as if all were taken
  // Of choices, expected under uniform routing; unset where that does not say it: NTLB tries again,
  // TOP2 may decline, and where experts choose or mix nobody is turned away.
  std::optional<double> dropped_share;

  // Rows that so many of the experts compute at most.
  std::int64_t most_rows(std::int64_t experts) const {
    const std::int64_t places = experts * capacity;
    return by_row ? places : std::min(std::min(choices, experts) * tokens, places);
  }
};

// Needs at least one expert.
CapacityPlan plan_capacity(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                           bool decoder);

}  // namespace switchyard
