// The selection of experts in plain numbers: choices by score, second-choice policies, places
// within capacity, and counts. Nothing here has a gradient; the layer's arithmetic is in
// routing_reference.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "support/routing_reference.hpp"

namespace switchyard::reference {

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Throws std::invalid_argument for a combination that is undefined.
void check(const RoutingProblem& q);

// The indices of `scores` in descending order of score, ties in index order.
std::vector<std::int64_t> descending(const std::vector<double>& scores);

// The experts that a token chooses, best first; ties go to the lower index.
std::vector<std::int64_t> chosen_experts(const RoutingProblem& q, std::int64_t token,
                                         const std::vector<double>& logits,
                                         const std::vector<double>& p);

// top2: whether a token's second choice, which has this gate, is made.
bool takes_second(const RoutingProblem& q, std::int64_t token, double gate);

// Token choice: fills in `kept`, `counts` and the drops for the given choices.
void assign_places(const RoutingProblem& q, RoutingResult& r);

}  // namespace switchyard::reference
