# Writes OUTPUT, a header with the VERSION, the BUILD_TYPE and the commit of SOURCE.
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
  WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
  RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit unknown)
endif()

file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#pragma once

namespace switchyard::commit {
inline constexpr char version[] = "@VERSION@";
inline constexpr char name[] = "@commit@";
inline constexpr char build_type[] = "@BUILD_TYPE@";
}  // namespace switchyard::commit
]])
