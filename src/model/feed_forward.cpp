#include "model/feed_forward.hpp"

#include <type_traits>

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
    MlpGradients gradients{&params[params_.wi].leaves[leaf], nullptr,
                           &params[params_.wo].leaves[leaf]};
    if (activation_ == Activation::gated_gelu) gradients.wi_1 = &params[params_.wi_1].leaves[leaf];
    const MlpFlow<In> flow{rows_of_rank(upstream.view(), sequence.ranks, i),
                           rows_of_rank(dx, sequence.ranks, i), room.row_range(0, rows)};
    mlp_backward(context.work, saved.row_range(i * rows, rows), rows_of_rank(x, sequence.ranks, i),
                 weights<In>(params), activation_, dropout(context, sequence, i), flow, gradients);
  }
}

namespace {

// What the forward pass of each kind of layer saves.
template <class Layer, class In>
struct SavedBy;
template <class In>
struct SavedBy<SwitchLayer, In> {
  using Type = SwitchLayerSaved<In>;
};
template <class In>
struct SavedBy<SoftLayer, In> {
  using Type = SoftLayerSaved<In>;
};

// Calls dense(layer) or sparse(layer), depending on the kind of layer.
template <class Dense, class Sparse>
auto visit_layer(const FeedForward::Layer& layer, Dense dense, Sparse sparse) {
  return std::visit(
      [&](const auto& l) {
        if constexpr (std::is_same_v<decltype(l), const DenseFeedForward&>) {
          return dense(l);
        } else {
          return sparse(l);
        }
      },
      layer);
}

}  // namespace

template <class In>
FeedForwardSaved<In> FeedForward::forward(StepContext& context, const ParamSet& params,
                                          const Sequence& sequence, View<const In> x,
                                          View<float> y) const {
  using Saved = FeedForwardSaved<In>;
  return visit_layer(
      layer_, [&](const auto& l) -> Saved { return l.forward(context, params, sequence, x, y); },
      [&](const auto& l) -> Saved { return l.forward(context, params, sequence.tokens(), x, y); });
}

template <class In>
void FeedForward::repeat(StepContext& context, const ParamSet& params, const Sequence& sequence,
                         View<const In> x, View<float> y, FeedForwardSaved<In>& saved) const {
  visit_layer(
      layer_, [&](const auto& l) { saved = l.forward(context, params, sequence, x, y); },
      [&]<class Layer>(const Layer& l) {
        auto& own = std::get<typename SavedBy<Layer, In>::Type>(saved);
        l.repeat(context, params, sequence.tokens(), x, y, own);
      });
}

template <class In>
void FeedForward::backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                           const FeedForwardSaved<In>& saved, View<const In> x,
                           View<const float> dy, View<float> dx) const {
  visit_layer(
      layer_,
      [&](const auto& l) {
        l.backward(context, params, sequence, std::get<MlpSaved<In>>(saved), x, dy, dx);
      },
      [&]<class Layer>(const Layer& l) {
        const auto& own = std::get<typename SavedBy<Layer, In>::Type>(saved);
        l.backward(context, params, sequence.tokens(), own, x, dy, dx);
      });
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
