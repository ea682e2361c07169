#include "model/feed_forward.hpp"

#include "model/linear.hpp"

namespace switchyard {

MlpWeights DenseFeedForward::weights(const ParamSet& params) const {
  MlpWeights weights{params[params_.wi].value, {}, params[params_.wo].value};
  if (activation_ == Activation::gated_gelu) weights.wi_1 = params[params_.wi_1].value;
  return weights;
}

HiddenDropout DenseFeedForward::dropout(const StepContext& context, const Sequence& sequence,
                                        std::int64_t i) const {
  const auto tokens = static_cast<std::size_t>(sequence.rows * sequence.length);
  const std::span<const std::uint64_t> index(sequence.index);
  return {hidden_dropout_.rate_in(context), hidden_dropout_.stream(context),
          index.subspan(static_cast<std::size_t>(i) * tokens, tokens)};
}

std::vector<MlpSaved> DenseFeedForward::forward(StepContext& context, const ParamSet& params,
                                                const Sequence& sequence, View<const float> x,
                                                View<float> y) const {
  const ScopedPhase phase(context.timer, Phase::feed_forward);
  std::vector<MlpSaved> saved;
  for (std::int64_t i = 0; i < sequence.ranks; ++i) {
    saved.push_back(mlp_forward(context.work, rows_of_rank(x, sequence.ranks, i), weights(params),
                                activation_, dropout(context, sequence, i),
                                rows_of_rank(y, sequence.ranks, i)));
  }
  return saved;
}

void DenseFeedForward::backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                                std::span<const MlpSaved> saved, View<const float> x,
                                View<const float> dy, View<float> dx) const {
  const ScopedPhase phase(context.timer, Phase::feed_forward);
  for (std::int64_t i = 0; i < sequence.ranks; ++i) {
    const auto leaf = static_cast<std::size_t>(i);
    MlpGradients gradients{params[params_.wi].leaves[leaf], {}, params[params_.wo].leaves[leaf]};
    if (activation_ == Activation::gated_gelu) gradients.wi_1 = params[params_.wi_1].leaves[leaf];
    mlp_backward(context.work, saved[leaf], rows_of_rank(x, sequence.ranks, i), weights(params),
                 activation_, dropout(context, sequence, i), rows_of_rank(dy, sequence.ranks, i),
                 rows_of_rank(dx, sequence.ranks, i), gradients);
  }
}

FeedForwardSaved FeedForward::forward(StepContext& context, const ParamSet& params,
                                      const Sequence& sequence, View<const float> x,
                                      View<float> y) const {
  if (const auto* sparse = std::get_if<SwitchLayer>(&layer_)) {
    return sparse->forward(context, params, sequence.tokens(), x, y);
  }
  return std::get<DenseFeedForward>(layer_).forward(context, params, sequence, x, y);
}

void FeedForward::backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                           const FeedForwardSaved& saved, View<const float> x, View<const float> dy,
                           View<float> dx) const {
  if (const auto* sparse = std::get_if<SwitchLayer>(&layer_)) {
    sparse->backward(context, params, sequence.tokens(), std::get<SwitchLayerSaved>(saved), x, dy,
                     dx);
  } else {
    std::get<DenseFeedForward>(layer_).backward(context, params, sequence,
                                                std::get<std::vector<MlpSaved>>(saved), x, dy, dx);
  }
}

}  // namespace switchyard
