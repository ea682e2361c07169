// The file that a command is told to write its result to.
#pragma once

#include <string>

#include "comm/comm.hpp"
#include "files/env.hpp"

namespace switchyard {

// Finds out before minutes of work rather than after: Error(output_not_writable) where `path`,
// which `option` ("--json") names, cannot be written. What is there stays as it is. Collective.
void require_writable(const Comm& world, Env& env, const std::string& path,
                      const std::string& option);

}  // namespace switchyard
