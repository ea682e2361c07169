// File names that came out of a file. Whoever wrote it must not choose where we read or write.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

// Text out of a file, fit for a message: other than printable ASCII becomes '?', and of a long text
// the beginning stands.
std::string printable(std::string_view text);

// Returns `name` when it is a plain base name; Error(unsafe_path) naming `source` when it is empty,
// ".",
// "..", longer than 255 bytes or holds '/' or NUL.
const std::string& require_base_name(const std::string& name, const std::string& source);

}  // namespace switchyard
