// Where the program finds what ships with it.
#pragma once

#include <filesystem>

namespace switchyard {

// The program's own file.
std::filesystem::path program_path();

// The source tree's configs/ for a program in its build directory, else share/switchyard/configs
// under the prefix that the program is installed in.
std::filesystem::path shipped_configs_directory();

// local.sh and its like: launch/ of the source tree, or share/switchyard/launch.
std::filesystem::path launch_directory();

}  // namespace switchyard
