#include "model/feed_forward.hpp"

#include "model/linear.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {

template <class In>
MlpWeights<In> DenseFeedForward::weights(const ParamSet& params) const {
  MlpWeights<In> weights{params[params_.wi].input<In>(), {}, params[params_.wo].input<In>()};
  if (activation_ == Activation::gated_gelu) weights.wi_1 = params[params_.wi_1].input<In>();
  return weights;
}

HiddenDropout DenseFeedForward::dropout(const StepContext& context, const Sequence& sequence,
                                        std::int64_t i) const {
  const auto tokens = static_cast<std::size_t>(sequence.rows * sequence.length);
  const std::span<const std::uint64_t> index(sequence.index);
  return {hidden_dropout_.rate_in(context), hidden_dropout_.stream(context),
          index.subspan(static_cast<std::size_t>(i) * tokens, tokens)};
}

template <class In>
MlpSaved<In> DenseFeedForward::forward(StepContext& context, const ParamSet& params,
                                       const Sequence& sequence, View<const In> x,
                                       View<float> y) const {
  const ScopedPhase phase(context.timer, Phase::feed_forward);
  const std::int64_t rows = sequence.rows * sequence.length;
  MlpSaved<In> saved(x.rows, params[params_.wi].spec.cols, activation_);
  for (std::int64_t i = 0; i < sequence.ranks; ++i) {
    mlp_forward(context.work, rows_of_rank(x, sequence.ranks, i), weights<In>(params), activation_,
                dropout(context, sequence, i), saved.row_range(i * rows, rows),
                rows_of_rank(y, sequence.ranks, i));
  }
  return saved;
}

template <class In>
void DenseFeedForward::backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                                const MlpSaved<In>& saved, View<const In> x, View<const float> dy,
                                View<float> dx) const {
  const ScopedPhase phase(context.timer, Phase::feed_forward);
  const std::int64_t rows = sequence.rows * sequence.length;
  const Converted<In, float> upstream(dy);
  MlpSaved<In> room(rows, params[params_.wi].spec.cols, activation_);
  for (std::int64_t i = 0; i < sequence.ranks; ++i) {
    const auto leaf = static_cast<std::size_t>(i);
    MlpGradients gradients{params[params_.wi].leaves[leaf], {}, params[params_.wo].leaves[leaf]};
    if (activation_ == Activation::gated_gelu) gradients.wi_1 = params[params_.wi_1].leaves[leaf];
    const MlpFlow<In> flow{rows_of_rank(upstream.view(), sequence.ranks, i),
                           rows_of_rank(dx, sequence.ranks, i), room.row_range(0, rows)};
    mlp_backward(context.work, saved.row_range(i * rows, rows), rows_of_rank(x, sequence.ranks, i),
                 weights<In>(params), activation_, dropout(context, sequence, i), flow, gradients);
  }
}

template <class In>
FeedForwardSaved<In> FeedForward::forward(StepContext& context, const ParamSet& params,
                                          const Sequence& sequence, View<const In> x,
                                          View<float> y) const {
  if (const auto* sparse = std::get_if<SwitchLayer>(&layer_)) {
    return sparse->forward(context, params, sequence.tokens(), x, y);
  }
  return std::get<DenseFeedForward>(layer_).forward(context, params, sequence, x, y);
}

template <class In>
void FeedForward::repeat(StepContext& context, const ParamSet& params, const Sequence& sequence,
                         View<const In> x, View<float> y, FeedForwardSaved<In>& saved) const {
  if (const auto* sparse = std::get_if<SwitchLayer>(&layer_)) {
    sparse->repeat(context, params, sequence.tokens(), x, y, std::get<SwitchLayerSaved<In>>(saved));
  } else {
    saved = forward(context, params, sequence, x, y);
  }
}

template <class In>
void FeedForward::backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                           const FeedForwardSaved<In>& saved, View<const In> x,
                           View<const float> dy, View<float> dx) const {
  if (const auto* sparse = std::get_if<SwitchLayer>(&layer_)) {
    sparse->backward(context, params, sequence.tokens(), std::get<SwitchLayerSaved<In>>(saved), x,
                     dy, dx);
  } else {
    std::get<DenseFeedForward>(layer_).backward(context, params, sequence,
                                                std::get<MlpSaved<In>>(saved), x, dy, dx);
  }
}

#define SWITCHYARD_INSTANTIATE(In)                                                             \
  template FeedForwardSaved<In> FeedForward::forward(                                          \
      StepContext&, const ParamSet&, const Sequence&, View<const In>, View<float>) const;      \
  template void FeedForward::repeat(StepContext&, const ParamSet&, const Sequence&,            \
                                    View<const In>, View<float>, FeedForwardSaved<In>&) const; \
  template void FeedForward::backward(StepContext&, ParamSet&, const Sequence&,                \
                                      const FeedForwardSaved<In>&, View<const In>,             \
                                      View<const float>, View<float>) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
