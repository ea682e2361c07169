// The model, its optimizer, and one training step over both, from reading a batch to rounding the
// weights. `train` and `benchmark` take their steps here. It knows neither run directories nor
// checkpoints and does not decide when training ends.
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
#include "optim/gradient_reducer.hpp"
#include "optim/optimizer.hpp"
#include "optim/update_share.hpp"
#include "statistics/step_figures.hpp"
#include "tensor/named_tensor.hpp"
#include "train/batch_builder.hpp"

namespace switchyard {

class Learner {
 public:
  // Draws the initial weights. target_length: T. `comm` and `settings` must outlive the learner.
  Learner(const Comm& comm, const Settings& settings, std::int64_t target_length);

  const Layout& layout() const { return layout_; }
  Transformer& model() { return model_; }
  std::int64_t steps() const { return steps_; }  // taken so far
  // The shape of batches of `rows` rows (B).
  BatchShape batch_shape(std::int64_t rows) const;
  // The context of the next step.
  StepContext context(Mode mode, PhaseTimer& timer);

  // Weights and optimizer state under their checkpoint names, of the latter what this process
  // holds: where a checkpoint is read into.
  std::vector<NamedTensor> tensors();
  // The same for a checkpoint to be written: each tensor whole where it is not empty. The result
  // must not outlive the learner or the next step. Collective.
  UpdateShare::WholeState tensors_to_save();
  // To be called after a checkpoint's state at `steps` has been read into tensors().
  void go_on_from(std::int64_t steps);

  // Takes one step on the next samples of `source`. Where the loss or the gradient norm is not
  // finite, the weights remain unchanged and the step does not count as taken. The returned
  // reference is valid until the next step. Collective.
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
  RowTransport transport_;
  Transformer model_;
  GradientReducer reducer_;
  std::unique_ptr<UpdateShare> share_;  // null: this process updates all dense weights
  std::unique_ptr<Optimizer> optimizer_;
  Work work_;
  std::int64_t steps_ = 0;
  StepFigures figures_;  // of the last step
};

}  // namespace switchyard
