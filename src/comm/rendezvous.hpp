// Do all processes reach this point, or does one of them wait in vain? Tells a mistake that every
// process found alike from a surprise on one of them, without risking to hang.
#pragma once

#include <chrono>

#include "comm/comm.hpp"

namespace switchyard {

// True on every process when all processes of `comm` call this within `patience` of one another.
// False where the others did not come: then `comm` is of no more use, and the job is best aborted.
// `comm` carries nothing else.
bool all_arrive_within(const Comm& comm, std::chrono::milliseconds patience);

}  // namespace switchyard
