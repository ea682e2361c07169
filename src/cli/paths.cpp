#include "cli/paths.hpp"

#include "build_paths.hpp"

namespace switchyard {

namespace fs = std::filesystem;

namespace {

fs::path shipped_directory() {
  const fs::path program = program_path();
  const std::string build_directory = std::string(build_paths::binary) + "/";
  if (program.string().starts_with(build_directory)) return build_paths::source;
  return program.parent_path().parent_path() / build_paths::data / "switchyard";
}

}  // namespace

fs::path program_path() {
  std::error_code unreadable;
  return fs::read_symlink("/proc/self/exe", unreadable);
}

fs::path shipped_configs_directory() { return shipped_directory() / "configs"; }

fs::path launch_directory() { return shipped_directory() / "launch"; }

}  // namespace switchyard
