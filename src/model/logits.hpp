// From the decoder's output to the cross-entropy of each target and, in training, straight back to
// the gradients. Logits exist for one chunk of positions at a time, in f32, computed from inputs of
// type In (float or bfloat16).
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
  Tensor<float> loss;                // [h*b, T] in nats; 0 where target < 0
  Buffer<std::int32_t> predictions;  // [h*N] in evaluation, empty in training
  Tensor<float> extra_loss;  // [h*b, T] added to `loss` in training; empty where there is none
  Tensor<float> d_hidden;    // [h*N, D] written by forward_backward only
};

class Logits {
 public:
  // `kernel`: index into the process's ParamSet of the embedding [W, D] if tied, with logits (h
  // D^-0.5) E^T; otherwise of a separate kernel [D, W]. `extra` is used in training only.
  Logits(std::size_t kernel, bool tied, ExtraLoss extra = {})
      : kernel_(kernel), tied_(tied), extra_(extra) {}

  // hidden [h*N, D], targets [h*N].
  template <class In = float>
  LogitsOutput forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                       Tensor<float> hidden, std::span<const std::int32_t> targets) const;
  // Forward in training mode, and the gradient of scale * (sum of losses and extra losses); adds to
  // the kernel's gradient leaves.
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
