// The identity of this program: for `--version`, for the records of runs and checkpoints, and for
// the check that all processes run the same one.
#pragma once

#include <string>

#include "checkpoint/run_state.hpp"

namespace switchyard {

struct Build {
  std::string version;  // "0.1.0"
  std::string commit;  // "1a2b3c4d5e6f", "…-dirty" with uncommitted changes, "unknown" outside git
  std::string build_type;  // "Release"
  std::string id;          // linker hash of the program's contents
};

Build build();

// The same in the form that checkpoints store, with libraries and machine.
BuildInfo build_info();

// One name and value per line: the build, MPI, oneDNN and the instruction set that it uses here.
std::string version_text();

}  // namespace switchyard
