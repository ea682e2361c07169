// File names that came out of a file. Whoever wrote it must not choose where we read or write.
#pragma once

#include <string>

namespace switchyard {

// Returns `name` when it is a plain base name; Error(unsafe_path) naming `source` when it is empty,
// ".",
// "..", longer than 255 bytes or holds '/' or NUL.
const std::string& require_base_name(const std::string& name, const std::string& source);

}  // namespace switchyard
