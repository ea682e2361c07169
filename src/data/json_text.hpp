// Extracts the one field of a JSON line that training uses.
#pragma once

#include <optional>
#include <string>

namespace switchyard {

struct JsonText {
  std::optional<std::string> text;
  std::string problem;  // why there is no text, where there is none
};

// The string under this top-level key of a JSON object. There is none where the line is not a JSON
// object, is nested deeper than 64 levels, or has no such string; `problem` then names the byte, or
// the keys that exist. If the key is repeated, the first one counts.
JsonText json_text(const std::string& line, const std::string& key);

}  // namespace switchyard
