// Two matrix products in forward and four in backward (three and six when gated), and the
// element-wise sweeps between them.
#include "moe/mlp.hpp"

#include "tensor/ops.hpp"

namespace switchyard {

template <class In, class Out>
void mlp_forward(Work& work, View<const In> x, const MlpWeights<In>& weights, Activation activation,
                 const HiddenDropout& dropout, const HiddenRows<In>& saved, View<Out> y) {
  if (activation == Activation::gated_gelu) {
    gemm<In, In>(work, x, Transpose::no, weights.wi, Transpose::no, saved.pre);
    gemm<In, In>(work, x, Transpose::no, weights.wi_1, Transpose::no, saved.pre_1);
    gated_gelu_forward<In>(saved.pre, saved.pre_1, saved.hidden);
  } else {
    gemm<In, In>(work, x, Transpose::no, weights.wi, Transpose::no, saved.hidden);
    relu_forward<In>(saved.hidden, saved.hidden);
  }
  apply_dropout(saved.hidden, dropout.rate, dropout.stream, dropout.token_index);
  gemm<In, Out>(work, saved.hidden, Transpose::no, weights.wo, Transpose::no, y);
}

template <class In>
void mlp_backward(Work& work, const HiddenRows<const In>& saved, View<const In> x,
                  const MlpWeights<In>& weights, Activation activation,
                  const HiddenDropout& dropout, const MlpFlow<In>& flow,
                  const MlpGradients& gradients) {
  const auto& [dy, dx, d] = flow;
  gradients.wo->add_product(work, saved.hidden, Transpose::yes, dy, Transpose::no);
  gemm<In, In>(work, dy, Transpose::no, weights.wo, Transpose::yes, d.hidden);
  apply_dropout(d.hidden, dropout.rate, dropout.stream, dropout.token_index);
  if (activation == Activation::gated_gelu) {
    gated_gelu_backward<In>(saved.pre, saved.pre_1, d.hidden, d.pre, d.pre_1);
    gradients.wi->add_product<In>(work, x, Transpose::yes, d.pre, Transpose::no);
    gradients.wi_1->add_product<In>(work, x, Transpose::yes, d.pre_1, Transpose::no);
    gemm<In, float>(work, d.pre, Transpose::no, weights.wi, Transpose::yes, dx);
    gemm<In, float>(work, d.pre_1, Transpose::no, weights.wi_1, Transpose::yes, dx,
                    Accumulate::yes);
  } else {
    relu_backward<In>(saved.hidden, d.hidden);
    gradients.wi->add_product<In>(work, x, Transpose::yes, d.hidden, Transpose::no);
    gemm<In, float>(work, d.hidden, Transpose::no, weights.wi, Transpose::yes, dx);
  }
}

#define SWITCHYARD_INSTANTIATE_FORWARD(In, Out)                                       \
  template void mlp_forward(Work&, View<const In>, const MlpWeights<In>&, Activation, \
                            const HiddenDropout&, const HiddenRows<In>&, View<Out>);
#define SWITCHYARD_INSTANTIATE_BACKWARD(In)                                           \
  template void mlp_backward(Work&, const HiddenRows<const In>&, View<const In>,      \
                             const MlpWeights<In>&, Activation, const HiddenDropout&, \
                             const MlpFlow<In>&, const MlpGradients&);

SWITCHYARD_INSTANTIATE_FORWARD(float, float)
SWITCHYARD_INSTANTIATE_FORWARD(bfloat16, float)
SWITCHYARD_INSTANTIATE_FORWARD(bfloat16, bfloat16)
SWITCHYARD_INSTANTIATE_BACKWARD(float)
SWITCHYARD_INSTANTIATE_BACKWARD(bfloat16)
#undef SWITCHYARD_INSTANTIATE_FORWARD
#undef SWITCHYARD_INSTANTIATE_BACKWARD

}  // namespace switchyard
