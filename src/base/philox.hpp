// All random numbers of the program come from this counter-based generator (Philox4x32-10, Salmon
// et al. 2011). A value is a pure function of what it is used for, so there is no generator state
// to keep or to save. This file is the only place that packs keys and counters.
#pragma once

#include <array>
#include <cstdint>

namespace switchyard {

// The two halves of a 64-bit word.
constexpr std::uint32_t low(std::uint64_t word) { return static_cast<std::uint32_t>(word); }
constexpr std::uint32_t high(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); }

// One Philox4x32-10 block: four 32-bit words from a 128-bit counter and a 64-bit key.
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {high(p1) ^ counter[1] ^ key[0], low(p1), high(p0) ^ counter[3] ^ key[1], low(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// What a random number is used for. The values are part of a run's definition: append only.
enum class Purpose : std::uint32_t {
  initial_weight = 1,
  router_jitter = 2,
  embedding_dropout = 3,
  attention_dropout = 4,        // on self-attention weights
  cross_attention_dropout = 5,  // on cross-attention weights
  hidden_dropout = 6,           // on the hidden units of a feed-forward layer, dense or expert
  attention_output_dropout = 7,
  cross_attention_output_dropout = 8,
  feed_forward_output_dropout = 9,
  final_dropout = 10,  // after the final norm of a stack
  data_offset = 11,
  data_order = 12,
  span_lengths = 13,
  router_dropout = 14,
  router_sample = 15,  // Gumbel noise; element e is for expert e
  second_choice = 16,  // whether a token also goes to its second expert
  drop_order = 17,     // element j: the token's position in the queue for its j-th choice
  hash_routing = 18,   // item: the token's id; step is 0
  zipf_token = 19,     // a benchmark's samples; layer 0: inputs, 1: targets; step is 0
};

// All random numbers of one purpose, layer and step of a run. `layer` counts through both stacks,
// decoder layers after encoder layers. `item` is the global token index (sample number x row length
// + position), the sample number, or the expert; `block` counts groups of four elements.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t layer, std::uint64_t step) {
    const auto words = philox({static_cast<std::uint32_t>(purpose), layer, low(step), high(step)},
                              {low(seed), high(seed)});
    key_ = {words[0], words[1]};
  }

  // Four independent 32-bit words: elements 4*block … 4*block+3 of `item`.
  std::array<std::uint32_t, 4> block(std::uint64_t item, std::uint64_t block) const {
    return philox({low(item), high(item), low(block), high(block)}, key_);
  }

 private:
  std::array<std::uint32_t, 2> key_;
};

// Uniform in [0, 1) with 24 bits, which f32 represents exactly.
inline float unit_float(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
// Uniform in [0, 1) with 53 bits.
inline double unit_double(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>((std::uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

}  // namespace switchyard
