// One process decides, all act: how a choice that needs files (which only process 0 should look at)
// becomes the same choice, or the same error, everywhere.
#pragma once

#include <functional>
#include <string>

#include "comm/comm.hpp"

namespace switchyard {

// Runs `work` on process 0 alone. Every process returns its result, or throws its Error.
// Collective.
std::string decide_on_process_0(const Comm& comm, const std::function<std::string()>& work);

// The same for work without a result.
void do_on_process_0(const Comm& comm, const std::function<void()>& work);

}  // namespace switchyard
