// Dropout at one place of the model. The mask is a function of the step and the token, so backward
// draws the same mask again. Evaluation has no dropout.
#pragma once

#include "model/sequence.hpp"
#include "step/step_context.hpp"
#include "tensor/ops.hpp"

namespace switchyard {

struct Dropout {
  float rate = 0;
  Purpose purpose;
  std::uint32_t layer = 0;  // counted through both stacks

  float rate_in(const StepContext& context) const { return context.mode == Mode::train ? rate : 0; }
  RandomStream stream(const StepContext& context) const {
    return {context.seed, purpose, layer, static_cast<std::uint64_t>(context.step)};
  }

  // x [h*N, D], in place. The same call is its own backward.
  void apply(const StepContext& context, const Sequence& sequence, View<float> x) const {
    apply_dropout(x, rate_in(context), stream(context), sequence.index);
  }
};

}  // namespace switchyard
