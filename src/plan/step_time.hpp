// How long a training step takes, from a machine's constants: no clock is read. The model, whose
// every assumption `describe` can name:
// * products take their operations / the rate of their shape; sweeps a constant per element;
// * a message costs its sender a constant, and bytes go at a link's rate. A host's link is shared
// by
//   its processes, which send at the same time; a process's messages follow each other;
// * all wait for the process with the most rows in each exchange, so a step takes the sum of the
//   busiest process's phases;
// * the sum of dense gradients overlaps backward with a stated gain, except for the embedding,
// whose
//   gradient is the last to be complete.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "plan/job_traffic.hpp"
#include "plan/machine.hpp"
#include "plan/step_work.hpp"

namespace switchyard {

struct PlannedRun {
  ModelConfig config;
  Layout layout;
  StepShape shape;
  HostLayout placement;
  Rule rule = Rule::adafactor;
  bool overlap_reduction = true;
  bool two_level_exchange = false;
  double imbalance = 1;  // of the busiest expert's tokens to the mean

  TrafficInput traffic_input() const {
    return {config, layout, shape, placement, two_level_exchange};
  }
};

// Seconds. The phases are those of metrics.proto; `besides` is what none of them includes.
struct StepTime {
  double embedding = 0, attention = 0, feed_forward = 0, routing = 0, exchange = 0, experts = 0;
  double logits = 0, reduction = 0, optimizer = 0, besides = 0;
  double overlapped = 0;  // of the reduction, not included in it

  double total() const {
    return embedding + attention + feed_forward + routing + exchange + experts + logits +
           reduction + optimizer + besides;
  }
};

// What the constants lack to plan this run, as a sentence; unset where they suffice.
std::optional<std::string> missing_constants(const PlannedRun& run, const Machine& machine);

// The constants must suffice.
StepTime plan_step_time(const PlannedRun& run, const Machine& machine);
// The same where the traffic is already known.
StepTime plan_step_time(const PlannedRun& run, const Machine& machine, const JobTraffic& traffic);

// Seconds of products alone; of a phase's.
double product_seconds(const std::vector<Products>& products, const ProductTable& table);

}  // namespace switchyard
