// The configurations that ship, built into the program: a copy of it alone knows them too.
// launch/cmake/built_in_configs.cmake writes the table from configs/.
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
