// Communicators for layouts that cannot be hosted by every number of processes.
#pragma once

#include "comm/comm.hpp"

namespace switchyard {

// Splits the world into communicators of the largest size that V virtual ranks in G groups allow;
// the last one may be smaller. Returns the one that contains this process. Collective over `world`.
inline Comm usable_comm(const Comm& world, int V, int G) {
  int size = world.size();
  while (size > V || (size % G != 0 && G % size != 0)) --size;
  return world.split(static_cast<int>(world.rank().value) / size,
                     static_cast<int>(world.rank().value));
}

}  // namespace switchyard
