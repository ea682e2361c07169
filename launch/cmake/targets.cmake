# One static library per folder, with exactly the link dependencies that its includes need.

add_library(switchyard_flags INTERFACE)
target_compile_options(switchyard_flags INTERFACE -march=${SWITCHYARD_MARCH} -ffp-contract=off -fno-math-errno
                                                  -Wall -Wextra -Werror
                                                  # Meant for headers; a joined source is not one.
                                                  -Wno-subobject-linkage)
target_include_directories(switchyard_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(switchyard_flags INTERFACE OpenMP::OpenMP_CXX Threads::Threads)
if(SWITCHYARD_SANITIZE STREQUAL thread)
  target_compile_options(switchyard_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
  target_link_options(switchyard_flags INTERFACE -fsanitize=thread)
elseif(SWITCHYARD_SANITIZE STREQUAL address)
  # With -fsanitize, GCC 12 reports std::regex as uninitialised (its bug 105562).
  target_compile_options(switchyard_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                                    -fno-omit-frame-pointer -Wno-maybe-uninitialized)
  target_link_options(switchyard_flags INTERFACE -fsanitize=address,undefined)
endif()

# Headers that most files include, precompiled once, which saves half of the compilation. Each file
# still includes what it needs; cmake -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON checks that it does.
set(switchyard_standard_headers <algorithm> <array> <bit> <cassert> <charconv> <chrono> <cmath> <cstdint> <cstdio>
    <cstdlib> <cstring> <filesystem> <fstream> <functional> <iomanip> <iostream> <limits> <map> <memory> <mutex>
    <numeric> <optional> <set> <span> <sstream> <stdexcept> <string> <string_view> <thread> <tuple> <type_traits>
    <utility> <variant> <vector>)
set(switchyard_message_headers <nlohmann/json.hpp> <google/protobuf/message.h> <google/protobuf/text_format.h>
    <google/protobuf/generated_enum_reflection.h> <google/protobuf/map.h>)

# With CMAKE_UNITY_BUILD (preset release), this many sources of a folder are compiled as one, so
# that their headers and templates are compiled once. Preset debug compiles each source separately.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)

# switchyard_library(name LIBRARIES lib... [HEADERS header...] [HEADERS_OF library]): a library of
# every .cpp in the calling folder, with its own precompiled headers or with those of another
# library.
function(switchyard_library name)
  cmake_parse_arguments(ARG "" "HEADERS_OF" "LIBRARIES;HEADERS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC switchyard_flags ${ARG_LIBRARIES})
  if(ARG_HEADERS)
    target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
  elseif(ARG_HEADERS_OF)
    target_precompile_headers(${name} REUSE_FROM ${ARG_HEADERS_OF})
  endif()
endfunction()
