// Load balancing without a loss (Wang et al. 2024): after a step, experts that had fewer tokens
// than the mean are preferred a little more in the next, the others a little less. Knows counts and
// parameters, not routers.
#pragma once

#include <span>

#include "statistics/routing_figures.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// b_e += rate * sign(mean(c) - c_e) for each layer that has a bias [1, E], with c the step's tokens
// of each expert over the whole run, before capacity: the same on every process.
void update_router_biases(std::span<const LayerStatistics> layers, double rate, ParamSet& params);

}  // namespace switchyard
