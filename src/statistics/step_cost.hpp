// The cost of a step: times of the slowest process, memory of the largest, and the exchange of
// rows. Combines each process's own figures; it reads no clock and knows no record.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/timer.hpp"
#include "comm/comm.hpp"
#include "statistics/exchange_cost.hpp"

namespace switchyard {

// The figures of one process.
struct OwnCost {
  const PhaseTimer& timer;
  double forward_backward_seconds = 0;  // of all micro-steps
  double seconds = 0;                   // of the whole step
};

struct StepCost {
  std::array<double, static_cast<std::size_t>(Phase::count)> phase_ms{};
  double forward_backward_ms = 0, step_ms = 0;
  std::int64_t peak_memory = 0;  // bytes, so far
  ExchangeCost exchange{};       // empty for a dense model

  double ms(Phase phase) const { return phase_ms[static_cast<std::size_t>(phase)]; }
};

// sparse_layers: their number in the model. Collective over comm.
StepCost gather_cost(const Comm& comm, const OwnCost& own, std::size_t sparse_layers);

}  // namespace switchyard
