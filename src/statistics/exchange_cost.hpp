// What the exchanges of rows between processes cost a step: from each process's transfers to times,
// waiting and bytes. Reads no clock itself and knows no record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "base/timer.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// Times in ms, each of the process that took longest; bytes of all processes together. As
// metrics.proto defines time/a2a… and bytes/a2a.
struct ExchangeFigures {
  double all_ms = 0, to_experts_ms = 0, from_experts_ms = 0, backward_ms = 0, waiting_ms = 0;
  std::int64_t bytes = 0;
};

struct ExchangeCost {
  ExchangeFigures total;
  Buffer<ExchangeFigures> layers;  // of each sparse layer, in order of the model
};

// `own`: this process's transfers of a step; `layers`: how many sparse layers the model has, at
// least one. Collective over comm.
//
// A collective does not tell waiting from moving, so waiting is a difference: of all processes the
// one that came last waited for nobody and was through soonest; what another spent beyond it in the
// same transfer it waited.
ExchangeCost gather_exchange(const Comm& comm, std::span<const Transfer> own, std::size_t layers);

}  // namespace switchyard
