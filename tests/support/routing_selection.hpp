// Who goes where, in plain numbers: choices by score, second-choice policies, places in experts
// and counts. Nothing here has a gradient; the arithmetic of the layer is routing_reference.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "support/routing_reference.hpp"

namespace switchyard::reference {

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Throws std::invalid_argument for a combination that has no definition.
void check(const RoutingProblem& q);

// The indices of `scores`, largest first, ties in their own order.
std::vector<std::int64_t> descending(const std::vector<double>& scores);

// The experts that a token prefers, best first; of equal scores the lower index.
std::vector<std::int64_t> chosen_experts(const RoutingProblem& q, std::int64_t token,
                                         const std::vector<double>& logits,
                                         const std::vector<double>& p);

// top2: whether a token's second choice, whose gate this is, is made at all.
bool takes_second(const RoutingProblem& q, std::int64_t token, double gate);

// Token choice: `kept`, `counts` and what was dropped, from the choices made.
void assign_places(const RoutingProblem& q, RoutingResult& r);

}  // namespace switchyard::reference
