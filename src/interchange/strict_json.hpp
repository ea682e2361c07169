// JSON documents of unknown origin: configurations and indices, small files that are read whole.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "files/env.hpp"

namespace switchyard {

// A JSON object, in well-formed UTF-8. Error(damaged_data) naming `path`: no object, a key twice,
// nested deeper than 64 levels, or so many values for its length that holding them would cost many
// times its bytes.
nlohmann::json parse_json(const std::string& text, const std::string& path);

// Of a file. Error(damaged_data) where it has more than `limit` bytes, before they are read.
nlohmann::json read_json(const Env& env, const std::string& path, std::int64_t limit);

}  // namespace switchyard
