// The host name of the machine that this process runs on, as messages show it.
#pragma once

#include <string>

namespace switchyard {

std::string host_name();

}  // namespace switchyard
