// What layers need to know about the current step. Passed down as an argument, never stored.
#pragma once

#include <cstdint>

#include "base/timer.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "comm/row_transport.hpp"
#include "step/gradient_listener.hpp"
#include "tensor/gemm.hpp"

namespace switchyard {

enum class Mode { train, evaluate };  // evaluate: no dropout, no jitter, evaluation capacity

struct StepContext {
  const Comm& comm;
  const RowTransport& transport;
  const Layout& layout;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  Mode mode = Mode::train;
  PhaseTimer& timer;
  Work& work;
  int micro_steps = 1;  // A: micro-steps per step, so a step has V*A routing groups
  GradientListener* gradients = nullptr;  // in the last micro-step, if anyone wants to know

  // To be called by backward, outside of other phases.
  void gradients_complete_from(std::size_t param) {
    if (!gradients) return;
    const ScopedPhase phase(timer, Phase::reduction);
    gradients->complete_from(param);
  }

  Interval<VirtualRank> hosted() const { return layout.hosted(comm.rank()); }
};

}  // namespace switchyard
