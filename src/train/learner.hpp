// A model that learns: its weights, its optimizer and the step that takes both further, from
// reading a batch to rounding the weights. `train` and `benchmark` take their steps here. Knows
// neither run directories nor checkpoints, and decides nothing about when to end.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "config/settings.hpp"
#include "data/example.hpp"
#include "model/transformer.hpp"
#include "optim/optimizer.hpp"
#include "statistics/step_figures.hpp"
#include "tensor/named_tensor.hpp"
#include "train/batch_builder.hpp"

namespace switchyard {

class Learner {
 public:
  // Draws the initial weights. target_length: T. Keeps references to `comm` and `settings`.
  Learner(const Comm& comm, const Settings& settings, std::int64_t target_length);

  const Layout& layout() const { return layout_; }
  Transformer& model() { return model_; }
  std::int64_t steps() const { return steps_; }  // taken
  // Batches of so many rows, B.
  BatchShape batch_shape(std::int64_t rows) const;
  // For the step that is taken next.
  StepContext context(Mode mode, PhaseTimer& timer);

  // Weights and optimizer state, as checkpoints name them.
  std::vector<NamedTensor> tensors();
  // As after so many steps, with what was read into the tensors since.
  void go_on_from(std::int64_t steps);

  // Takes a step on the next samples of `source`. Where the loss or the gradient's norm is not
  // finite, the weights stay as they are and the step does not count as taken. What it returns
  // lasts until the next step. Collective.
  const StepFigures& take_step(const ExampleSource& source);

 private:
  Buffer<Batch> read_step(const ExampleSource& source, PhaseTimer& timer) const;
  Buffer<Transformer::Output> forward_backward(std::span<const Batch> batches, PhaseTimer& timer);
  double reduce_gradients(PhaseTimer& timer);
  void describe_step(StepStatistics statistics, double norm);
  void update(PhaseTimer& timer);

  const Comm& comm_;
  const Settings& settings_;
  std::int64_t target_length_;  // T
  Layout layout_;
  Transformer model_;
  std::unique_ptr<Optimizer> optimizer_;
  Work work_;
  std::int64_t steps_ = 0;
  StepFigures figures_;  // of the last step
};

}  // namespace switchyard
