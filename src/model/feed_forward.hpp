// The feed-forward layer of a block: dense, one product pair a virtual rank, or Switch. Knows
// neither norm nor residual.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "model/dropout.hpp"
#include "model/sequence.hpp"
#include "moe/mlp.hpp"
#include "moe/switch_layer.hpp"

namespace switchyard {

// Kernels as indices into the process's ParamSet; wi_1 only when gated.
struct DenseParams {
  std::size_t wi = 0, wi_1 = 0, wo = 0;
};

class DenseFeedForward {
 public:
  DenseFeedForward(Activation activation, Dropout hidden_dropout, DenseParams params)
      : activation_(activation), hidden_dropout_(hidden_dropout), params_(params) {}

  // x [h*N, D] -> y [h*N, D], written.
  std::vector<MlpSaved> forward(StepContext& context, const ParamSet& params,
                                const Sequence& sequence, View<const float> x, View<float> y) const;
  // dy [h*N, D]; writes dx and adds to the gradient leaves.
  void backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                std::span<const MlpSaved> saved, View<const float> x, View<const float> dy,
                View<float> dx) const;

 private:
  MlpWeights weights(const ParamSet& params) const;
  HiddenDropout dropout(const StepContext& context, const Sequence& sequence, std::int64_t i) const;

  Activation activation_;
  Dropout hidden_dropout_;
  DenseParams params_;
};

using FeedForwardSaved = std::variant<std::vector<MlpSaved>, SwitchLayerSaved>;

class FeedForward {
 public:
  explicit FeedForward(std::variant<DenseFeedForward, SwitchLayer> layer)
      : layer_(std::move(layer)) {}

  bool is_sparse() const { return std::holds_alternative<SwitchLayer>(layer_); }

  // x [h*N, D] -> y [h*N, D], written. Collective over context.comm where sparse.
  FeedForwardSaved forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                           View<const float> x, View<float> y) const;
  // dy [h*N, D]; writes dx and adds to the gradient leaves. Collective over context.comm where
  // sparse.
  void backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                const FeedForwardSaved& saved, View<const float> x, View<const float> dy,
                View<float> dx) const;

 private:
  std::variant<DenseFeedForward, SwitchLayer> layer_;
};

}  // namespace switchyard
