// Which process writes or reads which dense tensor, so that all have about as many bytes to move.
// Pure arithmetic: it knows nothing of files or MPI.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/index.hpp"

namespace switchyard {

// result[i]: the process that gets tensor i. Assigns tensors in order of decreasing size (ties:
// earlier first), each to the process with the fewest bytes so far (ties: lowest first). load: the
// bytes with which each process starts.
std::vector<Rank> share_out(std::span<const std::int64_t> bytes, std::vector<std::int64_t> load);

}  // namespace switchyard
