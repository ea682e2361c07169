// What this program is: for `--version`, for what a run and its checkpoints record, and for the
// check that all processes run the same one.
#pragma once

#include <string>

#include "checkpoint/run_state.hpp"

namespace switchyard {

struct Build {
  std::string version;  // "0.1.0"
  std::string commit;  // "1a2b3c4d5e6f", "…-dirty" with uncommitted changes, "unknown" outside git
  std::string build_type;  // "Release"
  std::string id;          // the linker's hash of the program's contents: equal for equal programs
};

Build build();

// The same as checkpoints record it, with the libraries and the machine.
BuildInfo build_info();

// A name and a value a line: the build, MPI, oneDNN and the instruction set it uses here.
std::string version_text();

}  // namespace switchyard
