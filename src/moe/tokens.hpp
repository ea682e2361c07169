// The tokens a layer sees, apart from their activations: which are real, what they are, and the
// numbers that key their random draws.
#pragma once

#include <cstdint>
#include <span>

namespace switchyard {

// h hosted virtual ranks of N tokens each, virtual-rank-major: token t of the i-th hosted one is
// i*N + t. N is a whole number of rows.
struct Tokens {
  std::int64_t per_rank = 0;  // N
  std::span<const std::uint64_t>
      index;  // [h*N] global token index: sample number x row length + position
  std::span<const std::uint8_t> real;  // [h*N] 1 real, 0 padding (not routed, not in any statistic)
  std::int64_t real_in_step = 0;      // real tokens of this stack over all virtual ranks of the run
  std::int64_t row_length = 0;        // positions of a row
  std::span<const std::int32_t> ids;  // [h*N] of the stack's input
};

}  // namespace switchyard
