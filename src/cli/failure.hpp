// How the program ends when it cannot continue: what is printed, by which process, and with which
// exit code.
#pragma once

#include <exception>

#include "base/error.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// For a failure before the job exists: prints it and returns the exit code.
ExitCode report_failure(const std::exception& failure);

// For a failure in a job of several processes; `ending` is a duplicate of the world that is used
// for nothing else. If all processes fail within two seconds and the failure is the same on all,
// rank 0 prints it once and every process returns, to exit in good order. If a process is alone in
// failing, it prints its rank, host and reason and aborts the whole job, since the others would
// wait for it for ever.
ExitCode report_failure(const std::exception& failure, const Comm& ending);

}  // namespace switchyard
