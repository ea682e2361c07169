// A tensor with its global name, as checkpoints and hashes see it: weights and optimizer state
// alike.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/index.hpp"

namespace switchyard {

// data: rows * cols floats, not owned. `expert` unset: every process holds the same bits; set: the
// owner of that expert holds the tensor.
struct NamedTensor {
  std::string name;
  std::int64_t rows = 1, cols = 0;
  std::optional<ExpertId> expert;
  std::span<float> data;
};

}  // namespace switchyard
