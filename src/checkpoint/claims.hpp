// Which tensors of a checkpoint no process loads. It knows tensors by their index only.
#pragma once

#include <optional>
#include <vector>

#include "comm/comm.hpp"

namespace switchyard {

// The lowest index in [0, count) that is in no process's `claimed`; nullopt where all are claimed,
// which several processes may do. The buffer does not grow with `count`. Collective.
std::optional<int> first_unclaimed(const Comm& comm, std::vector<int> claimed, int count);

}  // namespace switchyard
