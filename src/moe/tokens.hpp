// The tokens that a layer sees, without their activations: which are real, their ids, and the
// numbers that key their random draws.
#pragma once

#include <cstdint>
#include <span>

namespace switchyard {

// h hosted virtual ranks of N tokens each, virtual-rank-major: token t of the i-th hosted rank is
// number i*N + t. N is a multiple of the row length.
struct Tokens {
  std::int64_t per_rank = 0;  // N
  std::span<const std::uint64_t>
      index;  // [h*N] global token index: sample number x row length + position
  std::span<const std::uint8_t> real;  // [h*N] 1 real, 0 padding (not routed, not in any statistic)
  std::int64_t real_in_step = 0;       // real tokens of this stack over all virtual ranks
  std::int64_t row_length = 0;         // positions per row
  std::span<const std::int32_t> ids;   // [h*N] the stack's input
};

}  // namespace switchyard
