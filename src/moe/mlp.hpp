// The position-wise feed-forward network act(x W_i) W_o and its backward. The dense feed-forward
// layer is one of these and so is each expert, so that a single expert equals the dense layer bit
// for bit. In is the type of matrix-product inputs, float or bfloat16; weight gradients are f32.
#pragma once

#include <cstdint>
#include <span>

#include "base/philox.hpp"
#include "tensor/gemm.hpp"
#include "tensor/gradient_leaf.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

enum class Activation { relu, gated_gelu };  // gated_gelu: gelu_tanh(x W_i0) * (x W_i1)

template <class In = float>
struct MlpWeights {
  View<const In> wi, wi_1;  // [D, F]; wi_1 only when gated
  View<const In> wo;        // [F, D]
};
struct MlpGradients {
  GradientLeaf *wi = nullptr, *wi_1 = nullptr, *wo = nullptr;  // wi_1 only when gated
};
// Element-wise dropout on the hidden units, keyed by the row's global token index. rate 0: none.
struct HiddenDropout {
  float rate = 0;
  RandomStream stream;
  std::span<const std::uint64_t> token_index;  // [rows]
};

// Views of the hidden units of some rows; the caller owns the memory.
template <class T>
struct HiddenRows {
  View<T> pre, pre_1;  // [rows, F] before the activation; only when gated: relu's backward needs no
                       // more than the sign of `hidden`
  View<T> hidden;      // [rows, F] after activation and dropout
};

// What backward needs from forward, for all rows of a layer: concatenated over virtual ranks or
// experts.
template <class In = float>
class MlpSaved {
 public:
  MlpSaved() = default;
  MlpSaved(std::int64_t rows, std::int64_t width, Activation activation)
      : hidden_(Tensor<In>::uninitialized(rows, width)) {
    if (activation != Activation::gated_gelu) return;
    pre_ = Tensor<In>::uninitialized(rows, width);
    pre_1_ = Tensor<In>::uninitialized(rows, width);
  }

  HiddenRows<In> row_range(std::int64_t first, std::int64_t count) {
    return {part(pre_, first, count), part(pre_1_, first, count), part(hidden_, first, count)};
  }
  HiddenRows<const In> row_range(std::int64_t first, std::int64_t count) const {
    return {part(pre_, first, count), part(pre_1_, first, count), part(hidden_, first, count)};
  }

 private:
  template <class T>
  static auto part(T& all, std::int64_t first, std::int64_t count) {
    return all.cols() > 0 ? all.row_range(first, count) : decltype(all.view())();
  }

  Tensor<In> pre_, pre_1_, hidden_;
};

// x [rows, D] -> y [rows, D]; writes `saved`. Out: In for rows that are sent to another process,
// float for the residual stream.
template <class In, class Out = In>
void mlp_forward(Work& work, View<const In> x, const MlpWeights<In>& weights, Activation activation,
                 const HiddenDropout& dropout, const HiddenRows<In>& saved, View<Out> y);

template <class In>
struct MlpFlow {
  View<const In> dy;    // [rows, D]
  View<float> dx;       // [rows, D], written
  HiddenRows<In> room;  // scratch for the gradients of the saved hidden units
};
// Adds to the weights' gradients.
template <class In>
void mlp_backward(Work& work, const HiddenRows<const In>& saved, View<const In> x,
                  const MlpWeights<In>& weights, Activation activation,
                  const HiddenDropout& dropout, const MlpFlow<In>& flow,
                  const MlpGradients& gradients);

}  // namespace switchyard
