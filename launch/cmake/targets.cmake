# One static library a folder, with exactly the link dependencies that its includes need.

add_library(switchyard_flags INTERFACE)
target_compile_options(switchyard_flags INTERFACE -march=${SWITCHYARD_MARCH} -ffp-contract=off -fno-math-errno
                                                  -Wall -Wextra -Werror)
target_include_directories(switchyard_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(switchyard_flags INTERFACE OpenMP::OpenMP_CXX Threads::Threads)
if(SWITCHYARD_SANITIZE)
  # Under -fsanitize GCC 12 takes std::regex for uninitialised (its bug 105562).
  target_compile_options(switchyard_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                                    -fno-omit-frame-pointer -Wno-maybe-uninitialized)
  target_link_options(switchyard_flags INTERFACE -fsanitize=address,undefined)
endif()

# switchyard_library(name LIBRARIES lib...): every .cpp of the calling folder.
function(switchyard_library name)
  cmake_parse_arguments(ARG "" "" "LIBRARIES;EXCLUDE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC switchyard_flags ${ARG_LIBRARIES})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE switchyard_flags ${ARG_LIBRARIES})
  endif()
endfunction()
