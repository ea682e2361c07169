// The feed-forward layer of a block: either dense, with one pair of matrix products per virtual
// rank, or a mixture of experts. In is the type of matrix-product inputs, float or bfloat16. It
// knows neither norm nor residual.
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "model/dropout.hpp"
#include "model/sequence.hpp"
#include "moe/mlp.hpp"
#include "moe/soft_layer.hpp"
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
  template <class In>
  MlpSaved<In> forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                       View<const In> x, View<float> y) const;
  // dy [h*N, D]; writes dx and adds to the gradient leaves.
  template <class In>
  void backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                const MlpSaved<In>& saved, View<const In> x, View<const float> dy,
                View<float> dx) const;

 private:
  template <class In>
  MlpWeights<In> weights(const ParamSet& params) const;
  HiddenDropout dropout(const StepContext& context, const Sequence& sequence, std::int64_t i) const;

  Activation activation_;
  Dropout hidden_dropout_;
  DenseParams params_;
};

template <class In>
using FeedForwardSaved = std::variant<MlpSaved<In>, SwitchLayerSaved<In>, SoftLayerSaved<In>>;

// Frees everything that FeedForward::repeat can recompute.
template <class In>
void keep_decisions(FeedForwardSaved<In>& saved) {
  std::visit(
      [&](auto& layer) {
        if constexpr (requires { layer.keep_decisions(); }) {
          layer.keep_decisions();
        } else {
          layer = {};
        }
      },
      saved);
}

class FeedForward {
 public:
  using Layer = std::variant<DenseFeedForward, SwitchLayer, SoftLayer>;
  explicit FeedForward(Layer layer) : layer_(std::move(layer)) {}

  bool is_sparse() const { return !std::holds_alternative<DenseFeedForward>(layer_); }

  // x [h*N, D] -> y [h*N, D], written. Collective over context.comm if the layer is sparse.
  template <class In>
  FeedForwardSaved<In> forward(StepContext& context, const ParamSet& params,
                               const Sequence& sequence, View<const In> x, View<float> y) const;
  // Recomputes forward; a sparse layer reuses its saved routing decisions. Collective over
  // context.comm if the layer is sparse.
  template <class In>
  void repeat(StepContext& context, const ParamSet& params, const Sequence& sequence,
              View<const In> x, View<float> y, FeedForwardSaved<In>& saved) const;
  // dy [h*N, D]; writes dx and adds to the gradient leaves. Collective over context.comm if the
  // layer is sparse.
  template <class In>
  void backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                const FeedForwardSaved<In>& saved, View<const In> x, View<const float> dy,
                View<float> dx) const;

 private:
  Layer layer_;
};

}  // namespace switchyard
