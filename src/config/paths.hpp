// Where the program finds what ships with it.
#pragma once

#include <filesystem>

namespace switchyard {

// The program's own file.
std::filesystem::path program_path();

// Both are found beside the program, wherever it has been moved: in the source tree whose build/ it
// lies in, in share/switchyard below the prefix that it is installed in, or in its own directory.
// Empty where a copy of the program lies alone.
std::filesystem::path shipped_configs_directory();
std::filesystem::path launch_directory();  // of local.sh and its like

}  // namespace switchyard
