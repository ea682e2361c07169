// From examples to the model's batch for the virtual ranks that a process hosts. The assignment of
// samples to rows is decided here and nowhere else; it depends on V and the batch size, never on
// the number of processes.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "data/example.hpp"
#include "model/batch.hpp"

namespace switchyard {

struct BatchShape {
  std::int64_t rows = 0;  // B: rows of the global batch, a multiple of V
  // S and T; 0 means the length of the longest row in the batch.
  std::int64_t input_length = 0, target_length = 0;
};

// Row r of virtual rank v is sample first + v*B/V + r; rows whose sample is at or past `end` stay
// empty. Worked example, V = 4, B = 8, first = 16: v0 has samples 16 17, v1 18 19, v2 20 21, v3 22
// 23. Collective over comm, since real positions are counted, and the longest row is found, over
// all virtual ranks.
Batch build_batch(const Comm& comm, const Layout& layout, const ExampleSource& source,
                  const BatchShape& shape, std::int64_t first, std::int64_t end);

// Splits the batch of a step into its A micro-steps for gradient accumulation. Part m has rows m*b
// … (m+1)*b - 1 of each virtual rank, b = B/(V A), and keeps the count of real positions of the
// whole step, by which the losses are divided. So row r of virtual rank v in micro-step m is sample
// first + v*B/V + m*b + r. With A = 2 in the example above, v1 has sample 18 in the first
// micro-step and 19 in the second.
Buffer<Batch> split_batch(const Batch& whole, std::int64_t micro_steps);

}  // namespace switchyard
