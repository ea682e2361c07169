#include "model/attention.hpp"

#include "model/full_attention.hpp"
#include "model/linear.hpp"
#include "model/window_attention.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {

template <class In>
AttentionSaved<In> Attention::forward(StepContext& context, const ParamSet& params,
                                      const AttentionInput<In>& input, const PositionBias* bias,
                                      View<float> y) const {
  const ScopedPhase phase(context.timer, Phase::attention);
  const std::int64_t ranks = input.queries.ranks, width = config_.heads * config_.d_kv;
  Work& work = context.work;
  AttentionSaved<In> saved{Tensor<In>::uninitialized(input.x.rows, width),
                           Tensor<In>::uninitialized(input.source.rows, width),
                           Tensor<In>::uninitialized(input.source.rows, width),
                           {},
                           Tensor<In>::uninitialized(input.x.rows, width)};
  linear_forward(work, ranks, input.x, params[config_.q], saved.q.view());
  linear_forward(work, ranks, input.source, params[config_.k], saved.k.view());
  linear_forward(work, ranks, input.source, params[config_.v], saved.v.view());
  const AttentionPass<In> pass{context, config_, input, bias};
  if (config_.window) {
    window_attention_forward(pass, saved);
  } else {
    full_attention_forward(pass, saved);
  }
  linear_forward<In>(work, ranks, saved.context.view(), params[config_.o], y);
  return saved;
}

template <class In>
Tensor<float> Attention::backward(StepContext& context, ParamSet& params,
                                  const AttentionInput<In>& input, const AttentionSaved<In>& saved,
                                  const PositionBias* bias,
                                  const AttentionGradients& gradients) const {
  const ScopedPhase phase(context.timer, Phase::attention);
  const std::int64_t ranks = input.queries.ranks, width = config_.heads * config_.d_kv;
  Work& work = context.work;
  const Converted<In, float> dy(gradients.dy);
  auto d_context = Tensor<In>::uninitialized(input.x.rows, width);
  auto dq = Tensor<In>::uninitialized(input.x.rows, width);
  auto dk = Tensor<In>::uninitialized(input.source.rows, width);
  auto dv = Tensor<In>::uninitialized(input.source.rows, width);
  Tensor<float> d_bias;
  if (config_.relative_bias) {
    d_bias = Tensor<float>::zeros(ranks * input.queries.rows * config_.heads,
                                  2 * input.queries.length - 1);
  }
  linear_backward_weight(work, saved.context.view(), dy.view(), params[config_.o]);
  linear_backward_input(work, ranks, dy.view(), params[config_.o], d_context.view(),
                        Accumulate::no);
  const AttentionPass<In> pass{context, config_, input, bias};
  const HeadGradients<In> gradients_of_heads{d_context.view(), dq.view(), dk.view(), dv.view(),
                                             d_bias.view()};
  if (config_.window) {
    window_attention_backward(pass, saved, gradients_of_heads);
  } else {
    full_attention_backward(pass, saved, gradients_of_heads);
  }
  linear_backward_weight<In>(work, input.x, dq.view(), params[config_.q]);
  linear_backward_weight<In>(work, input.source, dk.view(), params[config_.k]);
  linear_backward_weight<In>(work, input.source, dv.view(), params[config_.v]);
  linear_backward_input<In>(work, ranks, dq.view(), params[config_.q], gradients.dx,
                            Accumulate::no);
  linear_backward_input<In>(work, ranks, dk.view(), params[config_.k], gradients.d_source,
                            Accumulate::yes);
  linear_backward_input<In>(work, ranks, dv.view(), params[config_.v], gradients.d_source,
                            Accumulate::yes);
  return d_bias;
}

#define SWITCHYARD_INSTANTIATE(In)                                                                \
  template AttentionSaved<In> Attention::forward(                                                 \
      StepContext&, const ParamSet&, const AttentionInput<In>&, const PositionBias*, View<float>) \
      const;                                                                                      \
  template Tensor<float> Attention::backward(StepContext&, ParamSet&, const AttentionInput<In>&,  \
                                             const AttentionSaved<In>&, const PositionBias*,      \
                                             const AttentionGradients&) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
