// The name of the machine that a process runs on, as messages give it.
#pragma once

#include <string>

namespace switchyard {

std::string host_name();

}  // namespace switchyard
