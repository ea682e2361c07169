// From pieces of a vector, each on its owner (comm/ownership.hpp), to the whole vector on every
// process. Which messages: along the bits of the pieces' numbers where R is a power of two, log2 R
// rounds with partners at distance R/2, …, 2, 1; otherwise around a ring, R - 1 rounds. Each
// process receives each foreign element once, about n (R-1)/R.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "comm/comm.hpp"
#include "comm/ownership.hpp"
#include "comm/sum_schedule.hpp"

namespace switchyard {

// What one process sends and receives at the same time.
struct GatherRound {
  Rank to, from;
  SumSchedule::Pieces sent, received;
};
Buffer<GatherRound> gather_rounds(const Ownership& ownership, Rank self);

// vector: as long as all pieces; this process's piece is set, and afterwards all are. Collective;
// no other messages may travel on `comm`.
void gather_pieces(const Comm& comm, const Ownership& ownership, std::span<float> vector);

// What process `self` sends for it.
SumTraffic traffic_of_gather(const Ownership& ownership, Rank self);

}  // namespace switchyard
