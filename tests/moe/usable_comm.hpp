// Communicators for layouts that not every number of processes can host.
#pragma once

#include "comm/comm.hpp"

namespace switchyard {

// Splits the world into communicators of the largest size that V virtual ranks in G groups allow,
// the rest beside them; each process gets its own. Collective over `world`.
inline Comm usable_comm(const Comm& world, int V, int G) {
  int size = world.size();
  while (size > V || (size % G != 0 && G % size != 0)) --size;
  return world.split(static_cast<int>(world.rank().value) / size,
                     static_cast<int>(world.rank().value));
}

}  // namespace switchyard
