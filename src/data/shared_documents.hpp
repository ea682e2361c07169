// Counts the documents that two token streams have in common. It knows token files, not the origin
// of their documents.
#pragma once

#include <cstdint>
#include <string>

#include "files/env.hpp"

namespace switchyard {

// The number of documents of one stream (a path without extension) that also occur in the other,
// token for token. Documents with an unknown piece are not counted, since different texts would
// look equal. Reads both streams once and keeps nine bytes in memory per document of the first.
// Both must have ids of the same width. Throws the errors of Env.
std::int64_t count_shared_documents(const Env& env, const std::string& held_out,
                                    const std::string& training);

}  // namespace switchyard
