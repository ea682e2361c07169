#include "files/safe_path.hpp"

#include <string_view>

#include "base/error.hpp"

namespace switchyard {

std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text.substr(0, 120)) shown += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > 120 ? shown + "..." : shown;
}

const std::string& require_base_name(const std::string& name, const std::string& source) {
  const bool safe = !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
                    name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
  if (!safe) {
    throw Error(
        ExitCode::unsafe_path,
        source + " names the file \"" + printable(name) + "\", which is not a plain file name",
        "do not use files from a source you do not trust");
  }
  return name;
}

}  // namespace switchyard
