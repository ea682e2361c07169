// The rows of one micro-step for the virtual ranks of one process, in the layout that the model
// reads.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"

namespace switchyard {

struct Batch {
  std::int64_t rows = 0;           // b: rows per virtual rank
  std::int64_t input_length = 0;   // S
  std::int64_t target_length = 0;  // T
  // h hosted virtual ranks of b rows each, virtual-rank-major; positions past a row's length are
  // padding with id 0.
  Buffer<std::int32_t> inputs;         // [h*b, S]
  Buffer<std::int32_t> input_lengths;  // [h*b]
  // [h*b, T]; the decoder's input is these shifted right, starting with 0.
  Buffer<std::int32_t> targets;
  Buffer<std::int32_t> target_lengths;  // [h*b]
  Buffer<std::int64_t> samples;  // [h*b] running sample number; an empty row has both lengths 0
  // Real (non-padding) positions over all virtual ranks of the run.
  std::int64_t input_tokens = 0, target_tokens = 0;
};

}  // namespace switchyard
