// A tensor with its global name, as checkpoints and hashes see it: weights and optimizer state
// alike.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/index.hpp"

namespace switchyard {

// data: not owned. `expert` unset: every process holds the same bits; set: the owner of that expert
// holds the tensor. `first` set: the rows of a dense tensor are shared out over the processes, and
// `data` is what this one holds of it, maybe nothing: its elements from `first` on. Otherwise
// `data` is the whole tensor, rows * cols floats.
struct NamedTensor {
  std::string name;
  std::int64_t rows = 1, cols = 0;
  std::optional<ExpertId> expert;
  std::span<float> data;
  std::optional<std::int64_t> first{};

  bool is_whole() const { return static_cast<std::int64_t>(data.size()) == rows * cols; }
};

}  // namespace switchyard
