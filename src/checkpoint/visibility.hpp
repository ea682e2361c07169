// Checks that all processes of a job see the same directory, before the first step, because each
// process will write its part of a checkpoint into it. It knows nothing of checkpoints.
#pragma once

#include <chrono>
#include <string>

#include "comm/comm.hpp"
#include "files/env.hpp"

namespace switchyard {

// Throws Error(output_not_writable), which names the host, on every process where one process does
// not see in `directory` a file that process 0 has just written, or cannot write there itself.
// `patience` is the time that a network file system may take to show the file. One process per host
// checks on behalf of those with the same view. The files are removed afterwards. Collective.
void require_seen_by_all(Env& env, const Comm& comm, const std::string& directory,
                         std::chrono::milliseconds patience);

// Whether the name is that of a check file, which a killed process may have left behind.
bool is_left_over_sign(const std::string& name);

}  // namespace switchyard
