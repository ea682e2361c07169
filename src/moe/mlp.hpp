// The position-wise feed-forward product act(x W_i) W_o and its backward: the dense feed-forward
// layer is one of these, an expert another, so that one expert is the dense layer bit for bit. In
// is the type that enters products, float or bfloat16; weights' gradients are f32.
#pragma once

#include <cstdint>
#include <span>

#include "base/philox.hpp"
#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

enum class Activation { relu, gated_gelu };  // gated_gelu: gelu_tanh(x W_i0) * (x W_i1)

template <class In = float>
struct MlpWeights {
  View<const In> wi, wi_1;  // [D, F]; wi_1 only when gated
  View<const In> wo;        // [F, D]
};
struct MlpGradients {
  View<float> wi, wi_1, wo;  // added to
};
// Dropout on the hidden units, element-wise, keyed by the row's global token index. rate 0: none.
struct HiddenDropout {
  float rate = 0;
  RandomStream stream;
  std::span<const std::uint64_t> token_index;  // [rows]
};

template <class In = float>
struct MlpSaved {
  Tensor<In> pre, pre_1;  // [rows, F] before the activation; only when gated: relu's backward needs
                          // no more than the sign of `hidden`
  Tensor<In> hidden;      // [rows, F] after activation and dropout
};

// x [rows, D] -> y [rows, D]. Out: In for rows that travel on, float for the residual stream.
template <class In, class Out = In>
MlpSaved<In> mlp_forward(Work& work, View<const In> x, const MlpWeights<In>& weights,
                         Activation activation, const HiddenDropout& dropout, View<Out> y);
// dy [rows, D]; writes dx [rows, D] and adds to the gradients.
template <class In>
void mlp_backward(Work& work, const MlpSaved<In>& saved, View<const In> x,
                  const MlpWeights<In>& weights, Activation activation,
                  const HiddenDropout& dropout, View<const In> dy, View<float> dx,
                  const MlpGradients& gradients);

}  // namespace switchyard
