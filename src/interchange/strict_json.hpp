// Parses JSON documents of unknown origin: small configuration and index files that are read as a
// whole.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "files/env.hpp"

namespace switchyard {

// Returns a JSON object in well-formed UTF-8. Error(damaged_data) with `path` where it is not an
// object, has a duplicate key, is nested deeper than 64 levels, or has so many values for its
// length that they would take many times its size in memory.
nlohmann::json parse_json(const std::string& text, const std::string& path);

// The same for a file. Error(damaged_data) where it is larger than `limit` bytes, before it is
// read.
nlohmann::json read_json(const Env& env, const std::string& path, std::int64_t limit);

}  // namespace switchyard
