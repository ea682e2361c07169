// The rows of one stack as its layers see them: the length of each row, which positions are real,
// and the numbers that key each position's random draws. Built once per batch; it knows no
// activations.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"
#include "model/batch.hpp"
#include "moe/tokens.hpp"

namespace switchyard {

// h hosted virtual ranks of b rows of n positions (S in the encoder, T in the decoder); N = b n.
struct Sequence {
  std::int64_t ranks = 0, rows = 0, length = 0;  // h, b, n
  Buffer<std::int32_t> row_lengths;  // [h*b] real positions of each row, which come first
  Buffer<std::uint64_t> index;       // [h*N] global token index: sample x n + position
  Buffer<std::uint8_t> real;         // [h*N]
  std::int64_t real_in_step = 0;     // over all virtual ranks of the run
  Buffer<std::int32_t> ids;          // [h*N] what the embedding looks up

  std::int64_t positions() const { return ranks * rows * length; }
  Tokens tokens() const { return {rows * length, index, real, real_in_step, length, ids}; }
};

Sequence encoder_sequence(const Batch& batch, std::int64_t ranks);
// A decoder position is real where its target is; its ids are decoder_input.
Sequence decoder_sequence(const Batch& batch, std::int64_t ranks);

// [h*N] the decoder's input: each row of targets shifted right by one, 0 first.
Buffer<std::int32_t> decoder_input(const Batch& batch);
// [h*N] the targets with -1 at padding, as the cross-entropy wants them.
Buffer<std::int32_t> masked_targets(const Batch& batch);

}  // namespace switchyard
