// The feed-forward layer of soft routing: mix, plan, dispatch, experts, return, mix; then the same
// backward. Its slots travel as the tokens of a Switch layer do. In: as there; the mixing is
// f32.
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
  Buffer<SoftMixture> mixtures;   // one a hosted virtual rank
  Buffer<RoutingStats> stats;     // likewise
  RemoteExpertsSaved<In> remote;  // its rows are slots, [h*b*P]

  // Frees what SoftLayer::repeat makes again.
  void keep_decisions() { remote.keep_decisions(); }
};

class SoftLayer {
 public:
  // params.router: [D, P], P = E times the slots that an expert has for a whole row.
  SoftLayer(SparseLayerConfig config, SparseLayerParams params);

  // As SwitchLayer's.
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
  // Of the i-th hosted virtual rank; x [N, D].
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
