// The residual connection around every layer of a block: h + dropout(layer(norm(h))), and its
// backward. It knows nothing of the layer, which the caller passes as a function.
#pragma once

#include <cstdint>
#include <utility>

#include "model/dropout.hpp"
#include "model/sequence.hpp"
#include "step/step_context.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// RMSNorm with a learned scale.
struct Norm {
  std::size_t scale = 0;  // [1, D], in the process's ParamSet
  float epsilon = 0;

  // x [h*N, D] -> y [h*N, D], f32 or bf16; returns inverse_rms [1, h*N].
  template <class T>
  Tensor<float> forward(const ParamSet& params, View<const float> x, View<T> y) const;
  // Adds to dx and to the scale's gradient leaves, one virtual rank after the other.
  void backward(ParamSet& params, View<const float> dy, View<const float> x,
                const Tensor<float>& inverse_rms, View<float> dx) const;
};

// In: float or bfloat16, the type of the layer's input. The residual stream and all gradients are
// f32.
template <class In = float>
struct ResidualSaved {
  Tensor<float> h;            // [h*N, D] the input of the residual connection
  Tensor<float> inverse_rms;  // [1, h*N]
  Tensor<In> x;               // [h*N, D] normalised h, the layer's input
};

class Residual {
 public:
  // `phase`: the phase to which the time of norm, dropout and addition is attributed; the layer
  // times itself.
  Residual(Norm norm, Dropout dropout, Phase phase)
      : norm_(norm), dropout_(dropout), phase_(phase) {}

  // Calls layer(x, y), which must write y [h*N, D].
  template <class In, class Layer>
  Tensor<float> forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                        Tensor<float> h, ResidualSaved<In>& saved, Layer&& layer) const {
    normalise(context, params, std::move(h), saved);
    Tensor<float> y = Tensor<float>::uninitialized(saved.h.rows(), saved.h.cols());
    layer(std::as_const(saved).x.view(), y.view());
    join(context, sequence, saved.h.view(), y.view());
    return y;
  }

  // dh: d loss / d output on entry, d loss / d h on return. Calls layer(dy, dx), which must write
  // dx [h*N, D].
  template <class In, class Layer>
  void backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                const ResidualSaved<In>& saved, View<float> dh, Layer&& layer) const {
    const Tensor<float> dropped = dropped_gradient(context, sequence, dh);
    Tensor<float> dx = Tensor<float>::uninitialized(dh.rows, dh.cols);
    layer(dropped.size() > 0 ? dropped.view() : View<const float>(dh), dx.view());
    const ScopedPhase phase(context.timer, phase_);
    norm_.backward(params, dx.view(), saved.h.view(), saved.inverse_rms, dh);
  }

 private:
  template <class In>
  void normalise(StepContext& context, const ParamSet& params, Tensor<float> h,
                 ResidualSaved<In>& saved) const;
  void join(StepContext& context, const Sequence& sequence, View<const float> h,
            View<float> y) const;
  // A copy of the gradient with the output's dropout applied; empty where there is no dropout.
  Tensor<float> dropped_gradient(StepContext& context, const Sequence& sequence,
                                 View<const float> dh) const;

  Norm norm_;
  Dropout dropout_;
  Phase phase_;
};

}  // namespace switchyard
