// One line of a file of examples: from JSON to texts or ids. Knows no file, no tokenizer and no
// length of rows.
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

// {"inputs": X, "targets": Y}, each a text or an array of at least one id in [0, vocab_size); other
// keys are passed over. Anything else is Error(damaged_data) that begins with `place`, "file:line".
ExampleLine parse_example_line(const std::string& line, const std::string& place,
                               std::int64_t vocab_size);

}  // namespace switchyard
