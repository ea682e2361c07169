// Finds the files that ship with the program.
#pragma once

#include <filesystem>

namespace switchyard {

// The path of the running executable.
std::filesystem::path program_path();

// Both directories are found relative to the executable, wherever it has been moved: in the source
// tree that contains its build/, in share/switchyard below its installation prefix, or in its own
// directory. Empty where the executable has been copied alone.
std::filesystem::path shipped_configs_directory();
std::filesystem::path launch_directory();  // of local.sh and the other launch scripts

}  // namespace switchyard
