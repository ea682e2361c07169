// One micro-step's rows for the virtual ranks of one process, as the model reads them.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"

namespace switchyard {

struct Batch {
  std::int64_t rows = 0;           // b: of one virtual rank
  std::int64_t input_length = 0;   // S
  std::int64_t target_length = 0;  // T
  // h hosted virtual ranks of b rows each, virtual-rank-major; padding is id 0 past a row's length.
  Buffer<std::int32_t> inputs;         // [h*b, S]
  Buffer<std::int32_t> input_lengths;  // [h*b]
  Buffer<std::int32_t> targets;  // [h*b, T]; the decoder's input is these shifted right, 0 first
  Buffer<std::int32_t> target_lengths;  // [h*b]
  Buffer<std::int64_t> samples;         // [h*b] running sample number; an empty row has lengths 0
  // Real positions over all virtual ranks of the run.
  std::int64_t input_tokens = 0, target_tokens = 0;
};

}  // namespace switchyard
