// Validation of file names that were read from a file: whoever wrote that file must not be able to
// choose where this program reads or writes.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

// Makes text from a file safe to print in a message: replaces everything but printable ASCII by '?'
// and truncates long text.
std::string printable(std::string_view text);

// Returns `name` if it is a plain base name. Otherwise Error(unsafe_path) that names `source`:
// `name` is empty, ".", "..", longer than 255 bytes, or contains '/' or NUL.
const std::string& require_base_name(const std::string& name, const std::string& source);

}  // namespace switchyard
