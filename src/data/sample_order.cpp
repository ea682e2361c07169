#include "data/sample_order.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

#include "data/draws.hpp"

namespace switchyard {

namespace {
constexpr int feistel_rounds = 8;
}

Permutation::Permutation(const RandomStream& key, std::uint64_t size)
    : key_(key),
      size_(size),
      half_bits_(size < 2 ? 0 : (static_cast<int>(std::bit_width(size - 1)) + 1) / 2) {}

std::uint64_t Permutation::operator()(std::uint64_t i) const {
  assert(i < size_);
  if (half_bits_ == 0) return i;
  do {
    i = network(i);
  } while (i >= size_);
  return i;
}

std::uint64_t Permutation::network(std::uint64_t i) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = i >> half_bits_, right = i & mask;
  for (std::uint64_t round = 0; round < feistel_rounds; ++round) {
    const std::uint64_t mixed = left ^ (key_.block(right, round)[0] & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits_ | right;
}

SampleOrder::SampleOrder(std::int64_t segments, std::int64_t segment_length, bool shuffled,
                         std::uint64_t seed)
    : segments_(segments), segment_length_(segment_length), shuffled_(shuffled), seed_(seed) {}

SampleOrder SampleOrder::training(std::int64_t tokens, std::int64_t segment_length,
                                  std::uint64_t seed) {
  const std::int64_t whole =
      std::max<std::int64_t>(tokens - segment_length + 1, 0) / segment_length;
  return {whole, segment_length, true, seed};
}

SampleOrder SampleOrder::validation(std::int64_t tokens, std::int64_t segment_length) {
  return {tokens / segment_length, segment_length, false, 0};
}

std::int64_t SampleOrder::first_token(std::int64_t sample) const {
  assert(segments_ > 0 && sample >= 0 && (shuffled_ || sample < segments_));
  if (!shuffled_) return sample * segment_length_;
  const auto epoch = static_cast<std::uint64_t>(sample / segments_);
  const auto position = static_cast<std::uint64_t>(sample % segments_);
  Draws offset(RandomStream(seed_, Purpose::data_offset, 0, epoch), 0);
  const Permutation order(RandomStream(seed_, Purpose::data_order, 0, epoch),
                          static_cast<std::uint64_t>(segments_));
  return offset.below(static_cast<std::uint64_t>(segment_length_)) +
         static_cast<std::int64_t>(order(position)) * segment_length_;
}

}  // namespace switchyard
