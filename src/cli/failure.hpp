// How the program ends when it cannot go on: what is printed, by whom, and with which exit code.
#pragma once

#include <exception>

#include "base/error.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// A failure before there is a job: prints it and says which code to exit with.
ExitCode report_failure(const std::exception& failure);

// A failure in a job of several processes; `ending` is a duplicate of the world that carries
// nothing else. Where all processes failed within two seconds, a failure alike on all is printed
// once, from rank 0, and every process returns to leave in good order. A process that finds itself
// alone in failing prints its rank, host and reason and ends the whole job, since the others would
// wait for it for ever.
ExitCode report_failure(const std::exception& failure, const Comm& ending);

}  // namespace switchyard
