// The position-wise feed-forward product act(x W_i) W_o and its backward: the dense feed-forward
// layer is one of these, an expert another, so that one expert is the dense layer bit for bit.
#pragma once

#include <cstdint>
#include <span>

#include "base/philox.hpp"
#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

enum class Activation { relu, gated_gelu };  // gated_gelu: gelu_tanh(x W_i0) * (x W_i1)

struct MlpWeights {
  View<const float> wi, wi_1;  // [D, F]; wi_1 only when gated
  View<const float> wo;        // [F, D]
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

struct MlpSaved {
  Tensor<float> pre, pre_1;  // [rows, F] before the activation; only when gated: relu's backward
                             // needs no more than the sign of `hidden`
  Tensor<float> hidden;      // [rows, F] after activation and dropout
};

// x [rows, D] -> y [rows, D].
MlpSaved mlp_forward(Work& work, View<const float> x, const MlpWeights& weights,
                     Activation activation, const HiddenDropout& dropout, View<float> y);
// dy [rows, D]; writes dx [rows, D] and adds to the gradients.
void mlp_backward(Work& work, const MlpSaved& saved, View<const float> x, const MlpWeights& weights,
                  Activation activation, const HiddenDropout& dropout, View<const float> dy,
                  View<float> dx, const MlpGradients& gradients);

}  // namespace switchyard
