// Do all processes of a job see one directory? Found out before a step is taken, since each process
// writes its part of a checkpoint into it. It knows nothing of checkpoints.
#pragma once

#include <chrono>
#include <string>

#include "comm/comm.hpp"
#include "files/env.hpp"

namespace switchyard {

// Throws Error(output_not_writable) on every process, naming the host, where one does not see in
// `directory` what process 0 has just written there, or may not write there itself. A network file
// system may take some time to show it: `patience`. One process looks for those of its host that
// see the same. What was written is removed. Collective.
void require_seen_by_all(Env& env, const Comm& comm, const std::string& directory,
                         std::chrono::milliseconds patience);

// Whether a file's name is one that a killed process may have left there.
bool is_left_over_sign(const std::string& name);

}  // namespace switchyard
