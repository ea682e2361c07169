// Two products forward and four backward (three and six when gated), with the sweeps between them.
#include "moe/mlp.hpp"

#include "tensor/ops.hpp"

namespace switchyard {

template <class In, class Out>
MlpSaved<In> mlp_forward(Work& work, View<const In> x, const MlpWeights<In>& weights,
                         Activation activation, const HiddenDropout& dropout, View<Out> y) {
  const std::int64_t rows = x.rows, F = weights.wi.cols;
  MlpSaved<In> saved;
  saved.hidden = Tensor<In>::uninitialized(rows, F);
  const View<In> hidden = saved.hidden.view();
  if (activation == Activation::gated_gelu) {
    saved.pre = Tensor<In>::uninitialized(rows, F);
    saved.pre_1 = Tensor<In>::uninitialized(rows, F);
    gemm<In, In>(work, x, Transpose::no, weights.wi, Transpose::no, saved.pre.view());
    gemm<In, In>(work, x, Transpose::no, weights.wi_1, Transpose::no, saved.pre_1.view());
    gated_gelu_forward(saved.pre.view(), saved.pre_1.view(), hidden);
  } else {
    gemm<In, In>(work, x, Transpose::no, weights.wi, Transpose::no, hidden);
    relu_forward(hidden, hidden);
  }
  apply_dropout(hidden, dropout.rate, dropout.stream, dropout.token_index);
  gemm<In, Out>(work, hidden, Transpose::no, weights.wo, Transpose::no, y);
  return saved;
}

template <class In>
void mlp_backward(Work& work, const MlpSaved<In>& saved, View<const In> x,
                  const MlpWeights<In>& weights, Activation activation,
                  const HiddenDropout& dropout, View<const In> dy, View<float> dx,
                  const MlpGradients& gradients) {
  const std::int64_t rows = x.rows, F = weights.wi.cols;
  auto d_hidden = Tensor<In>::uninitialized(rows, F);
  const View<In> d = d_hidden.view();
  gemm<In, float>(work, saved.hidden.view(), Transpose::yes, dy, Transpose::no, gradients.wo,
                  Accumulate::yes);
  gemm<In, In>(work, dy, Transpose::no, weights.wo, Transpose::yes, d);
  apply_dropout(d, dropout.rate, dropout.stream, dropout.token_index);
  if (activation == Activation::gated_gelu) {
    auto d_pre_1 = Tensor<In>::uninitialized(rows, F);
    auto d_pre = Tensor<In>::uninitialized(rows, F);
    gated_gelu_backward(saved.pre.view(), saved.pre_1.view(), d, d_pre.view(), d_pre_1.view());
    gemm<In, float>(work, x, Transpose::yes, d_pre.view(), Transpose::no, gradients.wi,
                    Accumulate::yes);
    gemm<In, float>(work, x, Transpose::yes, d_pre_1.view(), Transpose::no, gradients.wi_1,
                    Accumulate::yes);
    gemm<In, float>(work, d_pre.view(), Transpose::no, weights.wi, Transpose::yes, dx);
    gemm<In, float>(work, d_pre_1.view(), Transpose::no, weights.wi_1, Transpose::yes, dx,
                    Accumulate::yes);
  } else {
    relu_backward(saved.hidden.view(), d);
    gemm<In, float>(work, x, Transpose::yes, d, Transpose::no, gradients.wi, Accumulate::yes);
    gemm<In, float>(work, d, Transpose::no, weights.wi, Transpose::yes, dx);
  }
}

#define SWITCHYARD_INSTANTIATE_FORWARD(In, Out)                                               \
  template MlpSaved<In> mlp_forward(Work&, View<const In>, const MlpWeights<In>&, Activation, \
                                    const HiddenDropout&, View<Out>);
#define SWITCHYARD_INSTANTIATE_BACKWARD(In)                                                     \
  template void mlp_backward(Work&, const MlpSaved<In>&, View<const In>, const MlpWeights<In>&, \
                             Activation, const HiddenDropout&, View<const In>, View<float>,     \
                             const MlpGradients&);

SWITCHYARD_INSTANTIATE_FORWARD(float, float)
SWITCHYARD_INSTANTIATE_FORWARD(bfloat16, float)
SWITCHYARD_INSTANTIATE_FORWARD(bfloat16, bfloat16)
SWITCHYARD_INSTANTIATE_BACKWARD(float)
SWITCHYARD_INSTANTIATE_BACKWARD(bfloat16)
#undef SWITCHYARD_INSTANTIATE_FORWARD
#undef SWITCHYARD_INSTANTIATE_BACKWARD

}  // namespace switchyard
