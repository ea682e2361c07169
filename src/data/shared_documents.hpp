// How many documents two token streams have in common. Knows token files, not where their documents
// came from.
#pragma once

#include <cstdint>
#include <string>

#include "files/env.hpp"

namespace switchyard {

// Documents of one stream (a path without extension) that occur in the other too, token for token.
// One with an unknown piece is not counted: it cannot be told from others.
// Reads both once; in memory stand nine bytes for each document of the first. Both have ids of the
// same width. Errors are Env's.
std::int64_t count_shared_documents(const Env& env, const std::string& held_out,
                                    const std::string& training);

}  // namespace switchyard
