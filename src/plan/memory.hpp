// The peak memory of a process while it trains or resumes a run, by part: what the model, its
// layers and the optimizer actually allocate, in the order of a step. The model of the allocations
// is kept by hand, so a layer that saves more or less needs a change here; a test compares the sum
// with real allocations.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// What an optimizer keeps per tensor: `moments` copies of it. A matrix with both sides at least
// `factor_from` keeps one mean per row and per column instead.
struct OptimizerShape {
  int moments = 1;
  std::optional<std::int64_t> factor_from;
  // Whether each process keeps the state of its share of the dense tensors only
  // (comm/ownership.hpp).
  bool shared = false;
};

struct MemoryInput {
  const ModelConfig& config;
  const Layout& layout;
  StepShape shape;
  OptimizerShape optimizer;
  int threads = 1;
  int exchange_chunks = 1;  // as asked for
};

// balanced: all experts are chosen equally often. worst: of each routing group, as many rows as
// capacity allows go to the experts of this process.
enum class Load { balanced, worst };

// All in bytes.
struct ProcessMemory {
  std::int64_t weights = 0;      // f32 master weights
  std::int64_t copies = 0;       // their bf16 copies, where products read bf16
  std::int64_t gradients = 0;    // one leaf per hosted virtual rank; for experts, per replica group
  std::int64_t optimizer = 0;    // its state
  std::int64_t activations = 0;  // what forward keeps for backward
  // Peak beyond the above: gradients of activations, logits, rows in transit, recomputed values.
  std::int64_t buffers = 0;
  // Needed instead of activations and buffers while a run is resumed: a block of a checkpoint, and
  // the manifest.
  std::int64_t loading = 0;
  // Likewise while one is saved: the state of a tensor that this process writes and others update
  // as well.
  std::int64_t saving = 0;
  std::int64_t program = 0;  // code, libraries, MPI, oneDNN

  // arrays: what the program allocates; the total adds the program itself.
  std::int64_t arrays() const {
    return weights + copies + gradients + optimizer +
           std::max({activations + buffers, loading, saving});
  }
  std::int64_t total() const { return arrays() + program; }
};

ProcessMemory plan_memory(const MemoryInput& input, Rank p, Load load);

}  // namespace switchyard
