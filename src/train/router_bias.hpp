// Load balancing without an auxiliary loss (Wang et al. 2024): after a step, experts that were
// chosen by fewer tokens than the mean get a larger bias for the next step, the others a smaller
// one. It works on counts and parameters and knows nothing of routers.
#pragma once

#include <span>

#include "statistics/routing_figures.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// b_e += rate * sign(mean(c) - c_e) for each layer with a bias [1, E], where c_e is the number of
// tokens of the step, over the whole run and before capacity, that chose expert e: the same on
// every process. Not collective.
void update_router_biases(std::span<const LayerStatistics> layers, double rate, ParamSet& params);

}  // namespace switchyard
