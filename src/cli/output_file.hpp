// The file to which a command writes its result.
#pragma once

#include <string>

#include "comm/comm.hpp"
#include "files/env.hpp"

namespace switchyard {

// Checks before minutes of work rather than after: throws Error(output_not_writable) where `path`,
// given by `option` ("--json"), cannot be written. An existing file is not changed. Collective.
void require_writable(const Comm& world, Env& env, const std::string& path,
                      const std::string& option);

}  // namespace switchyard
