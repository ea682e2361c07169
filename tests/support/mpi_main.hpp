// The communicator of a test program that runs under mpirun.
#pragma once

#include "comm/comm.hpp"

namespace switchyard {

// All processes of the test run. Every process runs every test, so a test may call collectives.
const Comm& test_world();

}  // namespace switchyard
