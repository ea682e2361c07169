// The feed-forward layer with soft routing: mix, plan, dispatch, experts, return, mix; and the same
// backward. Slots are sent to the experts like the tokens of a Switch layer. In: as in SwitchLayer;
// the mixing is in f32.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"
#include "moe/remote_experts.hpp"
#include "moe/routing.hpp"
#include "moe/soft_mixture.hpp"
#include "moe/switch_layer.hpp"
#include "moe/tokens.hpp"
#include "step/step_context.hpp"

namespace switchyard {

template <class In>
struct SoftLayerSaved {
  Buffer<SoftMixture> mixtures;   // one per hosted virtual rank
  Buffer<RoutingStats> stats;     // one per hosted virtual rank
  RemoteExpertsSaved<In> remote;  // its rows are slots, [h*b*P]

  // Frees everything that SoftLayer::repeat can recompute.
  void keep_decisions() { remote.keep_decisions(); }
};

class SoftLayer {
 public:
  // params.router: [D, P], P = E times the slots per expert for a full row.
  SoftLayer(SparseLayerConfig config, SparseLayerParams params);

  // The following have the arguments and guarantees of SwitchLayer's functions of the same names.
  template <class In>
  SoftLayerSaved<In> forward(StepContext& context, const ParamSet& params, const Tokens& tokens,
                             View<const In> x, View<float> y) const;
  template <class In>
  void repeat(StepContext& context, const ParamSet& params, const Tokens& tokens, View<const In> x,
              View<float> y, SoftLayerSaved<In>& saved) const;
  template <class In>
  void backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                const SoftLayerSaved<In>& saved, View<const In> x, View<const float> dy,
                View<float> dx) const;

 private:
  // The input of the router for the i-th hosted virtual rank; x [N, D].
  RouterInput router_input(const StepContext& context, const ParamSet& params, const Tokens& tokens,
                           View<const float> x, std::int64_t i) const;
  template <class In>
  void mix(StepContext& context, const ParamSet& params, const Tokens& tokens, View<const In> x,
           SoftLayerSaved<In>& saved) const;
  template <class In>
  RemoteExpertsSaved<In> announce(StepContext& context, const Tokens& tokens,
                                  const Buffer<SoftMixture>& mixtures) const;

  SparseLayerConfig config_;
  SparseLayerParams params_;
  RemoteExperts experts_;
};

}  // namespace switchyard
