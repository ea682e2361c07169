#include "config/paths.hpp"

#include <string>
#include <vector>

#include "build_paths.hpp"

namespace switchyard {

namespace fs = std::filesystem;

namespace {

// Directories in which files that ship with the program may be, most likely first.
std::vector<fs::path> shipped_directories() {
  const fs::path program = program_path(), directory = program.parent_path();
  std::vector<fs::path> found;
  if (program.string().starts_with(std::string(build_paths::binary) + "/"))
    found.emplace_back(build_paths::source);
  if (directory.parent_path().filename() == "build")  // build/release of a tree that was moved
    found.push_back(directory.parent_path().parent_path());
  found.push_back(directory.parent_path() / build_paths::data / "switchyard");
  found.push_back(directory);
  return found;
}

// The subdirectory `name` of the first of them in which it contains the file `with`.
fs::path shipped(const std::string& name, const std::string& with) {
  for (const fs::path& directory : shipped_directories()) {
    std::error_code unknown;
    if (fs::exists(directory / name / with, unknown)) return directory / name;
  }
  return {};
}

}  // namespace

fs::path program_path() {
  std::error_code unreadable;
  const std::string path = fs::read_symlink("/proc/self/exe", unreadable);
  const std::string mark = " (deleted)";  // a new build may have taken its place
  return path.ends_with(mark) ? path.substr(0, path.size() - mark.size()) : path;
}

fs::path shipped_configs_directory() { return shipped("configs", ""); }

fs::path launch_directory() { return shipped("launch", "local.sh"); }

}  // namespace switchyard
