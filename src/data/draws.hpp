// A sequence of unbiased random integers from one item of a RandomStream, for algorithms that
// consume an unpredictable number of them (rejection sampling). The sequence is a pure function of
// (stream, item).
#pragma once

#include <array>
#include <cassert>
#include <cstdint>

#include "base/philox.hpp"

namespace switchyard {

class Draws {
 public:
  Draws(const RandomStream& stream, std::uint64_t item) : stream_(stream), item_(item) {}

  // Uniform in [0, bound), 1 <= bound < 2^32. Words beyond the last whole multiple of bound are
  // rejected.
  std::uint32_t below(std::uint64_t bound) {
    assert(bound >= 1 && bound < (std::uint64_t{1} << 32));
    const std::uint64_t accepted = (std::uint64_t{1} << 32) / bound * bound;
    for (;;) {
      const std::uint32_t word = next();
      if (word < accepted) return static_cast<std::uint32_t>(word % bound);
    }
  }

 private:
  std::uint32_t next() {
    if (used_ % 4 == 0) words_ = stream_.block(item_, used_ / 4);
    return words_[used_++ % 4];
  }

  RandomStream stream_;
  std::uint64_t item_, used_ = 0;
  std::array<std::uint32_t, 4> words_{};
};

}  // namespace switchyard
