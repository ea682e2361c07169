// The one field that training reads of a JSON line.
#pragma once

#include <optional>
#include <string>

namespace switchyard {

struct JsonText {
  std::optional<std::string> text;
  std::string problem;  // where there is no text: why
};

// The string under this top-level key of a JSON object. There is none where the line is no JSON
// object, is nested deeper than 64 levels, or has no such string: `problem` then names the byte, or
// the keys that are there. Of repeated keys the first counts.
JsonText json_text(const std::string& line, const std::string& key);

}  // namespace switchyard
