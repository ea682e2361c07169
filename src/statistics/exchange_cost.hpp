// The cost of the exchanges of rows between processes in a step: from each process's transfers to
// times, waiting and bytes. It reads no clock and knows no record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "base/timer.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// Times in ms, each that of the slowest process; bytes of all processes together. Defined like
// time/a2a… and bytes/a2a in metrics.proto.
struct ExchangeFigures {
  double all_ms = 0, to_experts_ms = 0, from_experts_ms = 0, backward_ms = 0, waiting_ms = 0;
  std::int64_t bytes = 0;
};

struct ExchangeCost {
  ExchangeFigures total;
  Buffer<ExchangeFigures> layers;  // per sparse layer, in model order
};

// `own`: this process's transfers in a step. `layers`: the number of sparse layers in the model, at
// least one. Collective over comm.
//
// A collective's time does not separate waiting from data movement, so waiting is computed as a
// difference: the process that arrived last waited for nobody and spent the least time in the
// transfer. What another process spent beyond that time, it waited.
ExchangeCost gather_exchange(const Comm& comm, std::span<const Transfer> own, std::size_t layers);

}  // namespace switchyard
