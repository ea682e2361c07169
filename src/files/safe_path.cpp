#include "files/safe_path.hpp"

#include <string_view>

#include "base/error.hpp"

namespace switchyard {

const std::string& require_base_name(const std::string& name, const std::string& source) {
  const bool safe = !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
                    name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
  if (!safe) {
    // The name itself may hold anything: only what prints is shown, and not too much of it.
    std::string shown;
    for (const char c : name.substr(0, 80)) shown += c >= ' ' && c <= '~' ? c : '?';
    throw Error(ExitCode::unsafe_path,
                source + " names the file \"" + shown + "\", which is not a plain file name",
                "do not use files from a source you do not trust");
  }
  return name;
}

}  // namespace switchyard
