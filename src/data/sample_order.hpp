// Which tokens the i-th sample of a run consists of: a pure function of the sample number. The data
// cursor of a run is therefore a single integer, and any position is reached in O(1) time and
// memory.
#pragma once

#include <cstdint>

#include "base/philox.hpp"

namespace switchyard {

// A keyed bijection on [0, size): a balanced Feistel network of eight rounds over the smallest even
// number of bits that can represent size, applied repeatedly until the result is below size (cycle
// walking; fewer than four applications on average).
class Permutation {
 public:
  Permutation(const RandomStream& key, std::uint64_t size);
  std::uint64_t operator()(std::uint64_t i) const;

 private:
  std::uint64_t network(std::uint64_t i) const;

  RandomStream key_;
  std::uint64_t size_;
  int half_bits_;
};

// A stream of `tokens` tokens divided into consecutive segments of n. In training, epoch e has
// floor((tokens-n+1)/n) segments, starting at an offset in [0, n) drawn from (seed, e), in an order
// permuted by (seed, e). Validation has one epoch: offset 0, original order, floor(tokens/n)
// segments.
// by (seed, e). In validation there is one epoch: offset 0, identity, floor(tokens/n) segments.
// Example: 1,000 tokens and n = 100 give floor(901/100) = 9 segments per epoch; sample 20 is
// position 2 of epoch 2. If that epoch has offset 37 and its permutation takes 2 to 5, the sample
// is tokens 537 … 636.
class SampleOrder {
 public:
  static SampleOrder training(std::int64_t tokens, std::int64_t segment_length, std::uint64_t seed);
  static SampleOrder validation(std::int64_t tokens, std::int64_t segment_length);

  // Samples per epoch; 0 where the stream is too short for one.
  std::int64_t segments() const { return segments_; }
  std::int64_t segment_length() const { return segment_length_; }
  // The first token of a sample >= 0 (in validation also < segments()). Requires segments() > 0.
  std::int64_t first_token(std::int64_t sample) const;

 private:
  SampleOrder(std::int64_t segments, std::int64_t segment_length, bool shuffled,
              std::uint64_t seed);

  std::int64_t segments_, segment_length_;
  bool shuffled_;
  std::uint64_t seed_;
};

}  // namespace switchyard
