// The one field that training reads of a JSON line.
#pragma once

#include <optional>
#include <string>

namespace switchyard {

// The string under the top-level key "text" of a JSON object; none where the line is no JSON
// object, is nested deeper than 64 levels, or has no such string. Of repeated keys the first
// counts.
std::optional<std::string> json_text(const std::string& line);

}  // namespace switchyard
