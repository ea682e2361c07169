// What is said of a layer's routing: sums over any number of routing groups, and the figures made
// of them. Pure arithmetic; knows neither processes nor records.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"

namespace switchyard {

// One sparse layer over all virtual ranks of the run; of a step, or of more.
struct LayerStatistics {
  Text name;                               // "encoder.block.1"
  std::int64_t groups = 0;                 // routing groups
  std::int64_t real_tokens = 0;            // those that were routed
  std::int64_t wanted = 0;                 // choices that tokens made; or tokens, where one
                                           // place is enough for each
  std::int64_t dropped = 0;                // of them, those that found no place
  std::int64_t computed = 0;               // rows that experts computed
  std::int64_t places = 0;                 // that they had: E*C of each group
  Buffer<std::int64_t> tokens_per_expert;  // [E] wanted, before capacity
  double balance_sum = 0;                  // of the groups' load-balancing losses
  double z_sum = 0;                        // over real tokens, as the next two
  double confidence_sum = 0, entropy_sum = 0;

  double balance_loss() const;  // mean over routing groups
  double z_loss() const;        // mean over real tokens
  // Adds what another step or batch has of the same layer.
  void add(const LayerStatistics& other);
};

// As metrics.proto defines them, under the same names.
struct RoutingFigures {
  double dropped_fraction = 0, load_imbalance = 0;
  std::int64_t dead_experts = 0;
  double expert_usage = 0, router_confidence = 0, router_entropy = 0;
};

// Of one layer or of several together; at least one.
RoutingFigures routing_figures(std::span<const LayerStatistics> layers);

}  // namespace switchyard
