// Layers with every routing method and every option that affects the choice of experts or their
// weights; and the same problems for the f64 reference, with the random draws of the run.
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

// Every routing method with default options.
std::vector<RoutingCase> plain_routings();
// Each of them with every option that applies to it, and the cases that only one method has.
std::vector<RoutingCase> routing_cases();

reference::RoutingProblem routing_problem(const LayerCase& c, const LayerInputs& inputs);

}  // namespace switchyard
