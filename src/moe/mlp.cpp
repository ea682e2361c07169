// Two products forward and four backward (three and six when gated), with the sweeps between them.
#include "moe/mlp.hpp"

#include "tensor/ops.hpp"

namespace switchyard {

MlpSaved mlp_forward(Work& work, View<const float> x, const MlpWeights& weights,
                     Activation activation, const HiddenDropout& dropout, View<float> y) {
  const std::int64_t rows = x.rows, F = weights.wi.cols;
  MlpSaved saved;
  saved.hidden = Tensor<float>::uninitialized(rows, F);
  const View<float> hidden = saved.hidden.view();
  if (activation == Activation::gated_gelu) {
    saved.pre = Tensor<float>::uninitialized(rows, F);
    saved.pre_1 = Tensor<float>::uninitialized(rows, F);
    gemm<float, float>(work, x, Transpose::no, weights.wi, Transpose::no, saved.pre.view());
    gemm<float, float>(work, x, Transpose::no, weights.wi_1, Transpose::no, saved.pre_1.view());
    gated_gelu_forward(saved.pre.view(), saved.pre_1.view(), hidden);
  } else {
    gemm<float, float>(work, x, Transpose::no, weights.wi, Transpose::no, hidden);
    relu_forward(hidden, hidden);
  }
  apply_dropout(hidden, dropout.rate, dropout.stream, dropout.token_index);
  gemm<float, float>(work, hidden, Transpose::no, weights.wo, Transpose::no, y);
  return saved;
}

void mlp_backward(Work& work, const MlpSaved& saved, View<const float> x, const MlpWeights& weights,
                  Activation activation, const HiddenDropout& dropout, View<const float> dy,
                  View<float> dx, const MlpGradients& gradients) {
  const std::int64_t rows = x.rows, F = weights.wi.cols;
  auto d_hidden = Tensor<float>::uninitialized(rows, F);
  const View<float> d = d_hidden.view();
  gemm<float, float>(work, saved.hidden.view(), Transpose::yes, dy, Transpose::no, gradients.wo,
                     Accumulate::yes);
  gemm<float, float>(work, dy, Transpose::no, weights.wo, Transpose::yes, d);
  apply_dropout(d, dropout.rate, dropout.stream, dropout.token_index);
  if (activation == Activation::gated_gelu) {
    auto d_pre_1 = Tensor<float>::uninitialized(rows, F);
    auto d_pre = Tensor<float>::uninitialized(rows, F);
    gated_gelu_backward(saved.pre.view(), saved.pre_1.view(), d, d_pre.view(), d_pre_1.view());
    gemm<float, float>(work, x, Transpose::yes, d_pre.view(), Transpose::no, gradients.wi,
                       Accumulate::yes);
    gemm<float, float>(work, x, Transpose::yes, d_pre_1.view(), Transpose::no, gradients.wi_1,
                       Accumulate::yes);
    gemm<float, float>(work, d_pre.view(), Transpose::no, weights.wi, Transpose::yes, dx);
    gemm<float, float>(work, d_pre_1.view(), Transpose::no, weights.wi_1, Transpose::yes, dx,
                       Accumulate::yes);
  } else {
    relu_backward(saved.hidden.view(), d);
    gemm<float, float>(work, x, Transpose::yes, d, Transpose::no, gradients.wi, Accumulate::yes);
    gemm<float, float>(work, d, Transpose::no, weights.wi, Transpose::yes, dx);
  }
}

}  // namespace switchyard
