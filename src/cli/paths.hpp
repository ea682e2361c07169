// Where the program finds what ships with it.
#pragma once

#include <filesystem>

namespace switchyard {

// The program's own file.
std::filesystem::path program_path();

// The source tree's configs/ for a program in its build directory, else share/switchyard/configs
// under the prefix that the program is installed in.
std::filesystem::path shipped_configs_directory();

}  // namespace switchyard
