// Figures about a layer's routing: sums over any number of routing groups, and the quantities
// derived from them. Pure arithmetic; it knows neither processes nor records.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"

namespace switchyard {

// One sparse layer over all virtual ranks of the run, for one or more steps.
struct LayerStatistics {
  Text name;                     // "encoder.block.1"
  std::int64_t groups = 0;       // routing groups
  std::int64_t real_tokens = 0;  // tokens that were routed
  // The denominator of the drop rate: choices that tokens made, or tokens where one place is enough
  // for each.
  std::int64_t wanted = 0;
  std::int64_t dropped = 0;                // of `wanted`, those that found no place
  std::int64_t computed = 0;               // rows computed by experts
  std::int64_t places = 0;                 // capacity of all experts: sum of E*C over groups
  Buffer<std::int64_t> tokens_per_expert;  // [E] choices of each expert, before capacity
  double balance_sum = 0;                  // sum of the groups' load-balancing losses
  double z_sum = 0;                        // this and the next two: sums over real tokens
  double confidence_sum = 0, entropy_sum = 0;

  double balance_loss() const;  // mean over routing groups
  double z_loss() const;        // mean over real tokens
  // Adds the sums of another step or batch of the same layer.
  void add(const LayerStatistics& other);
};

// Defined in metrics.proto under the same names.
struct RoutingFigures {
  double dropped_fraction = 0, load_imbalance = 0;
  std::int64_t dead_experts = 0;
  double expert_usage = 0, router_confidence = 0, router_entropy = 0;
};

// Figures of one layer or of several together; at least one.
RoutingFigures routing_figures(std::span<const LayerStatistics> layers);

}  // namespace switchyard
