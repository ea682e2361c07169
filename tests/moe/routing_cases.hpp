// Layers of every routing, with all that changes who is chosen and with what weight; and the same
// problems as the f64 reference takes them, with the draws that the run makes.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "moe/layer_run.hpp"
#include "support/routing_reference.hpp"

namespace switchyard {

struct RoutingCase {
  std::string name;
  LayerCase layer;
};
inline void PrintTo(const RoutingCase& c, std::ostream* out) { *out << c.name; }

// Every kind of routing, plain.
std::vector<RoutingCase> plain_routings();
// Each of them with each change that means something for it, and what only one of them has.
std::vector<RoutingCase> routing_cases();

reference::RoutingProblem routing_problem(const LayerCase& c, const LayerInputs& inputs);

}  // namespace switchyard
