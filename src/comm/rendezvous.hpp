// Checks whether all processes reach a given point. This distinguishes a mistake that every process
// found alike from an error on some of them only, without the risk of hanging.
#pragma once

#include <chrono>

#include "comm/comm.hpp"

namespace switchyard {

// True on every process when all processes of `comm` call this within `patience` of one another.
// False where some did not arrive: then `comm` can no longer be used, and the job should be
// aborted. `comm` must not be used for anything else.
bool all_arrive_within(const Comm& comm, std::chrono::milliseconds patience);

}  // namespace switchyard
