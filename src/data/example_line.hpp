// One line of a file of examples: from JSON to texts or ids. It knows no file, no tokenizer and no
// row length.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace switchyard {

using TextOrIds = std::variant<std::string, std::vector<std::int32_t>>;

struct ExampleLine {
  TextOrIds inputs, targets;
};

// Parses {"inputs": X, "targets": Y}, each a text or an array of at least one id in [0,
// vocab_size); other keys are ignored. For anything else throws Error(damaged_data), whose message
// starts with `place`, "file:line".
ExampleLine parse_example_line(const std::string& line, const std::string& place,
                               std::int64_t vocab_size);

}  // namespace switchyard
