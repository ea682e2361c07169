#include "cli/output_file.hpp"

#include <filesystem>

#include "base/error.hpp"
#include "comm/together.hpp"

namespace switchyard {
namespace {

// Only a regular file may be replaced; writing to /dev/null must not replace it.
void require_writable_here(Env& env, const std::string& path, const std::string& option) {
  std::error_code unknown;
  const auto status = std::filesystem::symlink_status(path, unknown);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw Error(ExitCode::output_not_writable,
                "cannot write " + path + ": it exists and is not a regular file",
                "give " + option + " the name of a file");
  }
  try {
    env.remove_file(path + ".tmp");
    env.create(path + ".tmp")->close();
    env.remove_file(path + ".tmp");
  } catch (const Error& error) {
    throw Error(ExitCode::output_not_writable, error.what(),
                "give " + option + " a file in a directory that exists and that you may write to");
  }
}

}  // namespace

void require_writable(const Comm& world, Env& env, const std::string& path,
                      const std::string& option) {
  on_first(world, [&] {
    require_writable_here(env, path, option);
    return std::string();
  });
}

}  // namespace switchyard
