// The configurations that ship with the program, compiled into it, so that a copy of the binary
// alone has them too. launch/cmake/built_in_configs.cmake generates the table from configs/.
#pragma once

#include <span>
#include <string_view>

namespace switchyard {

struct BuiltInConfig {
  std::string_view name, text;
};

// Sorted by name.
std::span<const BuiltInConfig> built_in_configs();

}  // namespace switchyard
