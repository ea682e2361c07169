# Writes OUTPUT, a source file whose function built_in_configs() returns every DIRECTORY/*.textproto by name.
file(GLOB configs ${DIRECTORY}/*.textproto)
list(SORT configs)
set(table)
foreach(config ${configs})
  get_filename_component(name ${config} NAME_WE)
  file(READ ${config} text)
  string(APPEND table "    {\"${name}\", R\"textproto(${text})textproto\"},\n")
endforeach()

file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#include "config/built_in_configs.hpp"

namespace switchyard {

std::span<const BuiltInConfig> built_in_configs() {
  static constexpr BuiltInConfig configs[] = {
@table@  };
  return configs;
}

}  // namespace switchyard
]])
