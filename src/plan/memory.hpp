// The most memory a process needs while it trains or begins to go on with a run, by part: what the
// model, its layers and the optimizer really allocate, in the order of a step. It follows them by
// hand, so a layer that saves more or less is a line to change here; a test holds the sum to what
// is allocated.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// What an optimizer keeps for a tensor: `moments` copies of it; but a matrix whose sides both have
// at least `factor_from` keeps a mean for each row and for each column instead.
struct OptimizerShape {
  int moments = 1;
  std::optional<std::int64_t> factor_from;
};

struct MemoryInput {
  const ModelConfig& config;
  const Layout& layout;
  StepShape shape;
  OptimizerShape optimizer;
  int threads = 1;
};

// balanced: every expert is asked for alike. worst: of each routing group, as many rows as capacity
// lets pass go to the experts of the process in question.
enum class Load { balanced, worst };

// Bytes.
struct ProcessMemory {
  std::int64_t weights = 0;      // f32 master weights
  std::int64_t copies = 0;       // of them in bf16, where products read that
  std::int64_t gradients = 0;    // a leaf for each hosted virtual rank; of experts, for each group
  std::int64_t optimizer = 0;    // its state
  std::int64_t activations = 0;  // what forward keeps for backward
  std::int64_t buffers = 0;      // beyond them at the fullest moment: gradients of activations,
                                 // logits, rows under way, what is computed again
  std::int64_t loading = 0;      // in their place while a run is resumed: a block of a checkpoint,
                                 // and what it says of its tensors
  std::int64_t program = 0;      // code, libraries, MPI, oneDNN

  // What the program asks for, and with itself.
  std::int64_t arrays() const {
    return weights + copies + gradients + optimizer + std::max(activations + buffers, loading);
  }
  std::int64_t total() const { return arrays() + program; }
};

ProcessMemory plan_memory(const MemoryInput& input, Rank p, Load load);

}  // namespace switchyard
