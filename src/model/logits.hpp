// From the decoder's output to each target's cross-entropy and, in training, at once back: the
// logits exist a chunk of positions at a time, in f32 from inputs of type In (float or bfloat16).
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "model/sequence.hpp"
#include "step/step_context.hpp"
#include "tensor/cross_entropy.hpp"
#include "tensor/ops.hpp"
#include "tensor/param.hpp"

namespace switchyard {

struct LogitsOutput {
  Tensor<float> loss;                // [h*b, T] nats; 0 where target < 0
  Buffer<std::int32_t> predictions;  // [h*N] in evaluation, otherwise empty
  Tensor<float> extra_loss;  // [h*b, T] what training adds to `loss`; empty where nothing is added
  Tensor<float> d_hidden;    // [h*N, D] only of forward_backward
};

class Logits {
 public:
  // `kernel`, an index into the process's ParamSet: the embedding [W, D] where tied, with logits
  // (h D^-0.5) E^T; otherwise a kernel [D, W] of its own. `extra` counts in training alone.
  Logits(std::size_t kernel, bool tied, ExtraLoss extra = {})
      : kernel_(kernel), tied_(tied), extra_(extra) {}

  // hidden [h*N, D], targets [h*N].
  template <class In = float>
  LogitsOutput forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                       Tensor<float> hidden, std::span<const std::int32_t> targets) const;
  // The same in training, and the gradient of scale * (sum of losses and extra losses): adds to the
  // kernel's leaves.
  template <class In = float>
  LogitsOutput forward_backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                                Tensor<float> hidden, std::span<const std::int32_t> targets,
                                float scale) const;

 private:
  std::size_t kernel_;
  bool tied_;
  ExtraLoss extra_;
};

}  // namespace switchyard
