// The Switch feed-forward layer (Fedus et al. 2021, section 2) and its variants in which tokens or
// experts choose: route, plan, dispatch, experts, return, combine; and the same six stages
// backward. It treats all virtual ranks that a process hosts together, so that one exchange serves
// them all. In: the precision of the rows sent between processes and of the experts' matrix
// products. The router, and everything added to the residual stream, is f32.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "moe/moe_config.hpp"
#include "moe/remote_experts.hpp"
#include "moe/routing.hpp"
#include "moe/tokens.hpp"
#include "step/step_context.hpp"
#include "tensor/param.hpp"

namespace switchyard {

struct SparseLayerConfig {
  MoeConfig moe;
  RoutingMethod method = RoutingMethod::switch_top1;
  double balance_weight = 0, z_weight = 0;  // weights of this layer's losses in the objective
  Activation activation = Activation::relu;
  std::uint32_t layer = 0;  // counted through both stacks; keys random draws
};

// The parameters of one sparse layer held by this process, as indices into its ParamSet.
struct SparseLayerParams {
  std::optional<std::size_t> router;  // [D, E], dense: on every process; unset: no learnt router
  std::optional<std::size_t> bias;    // [1, E], only when load is balanced by bias
  std::vector<ExpertParams> experts;  // the owned ones, in order; may be empty
};

template <class In>
struct SwitchLayerSaved {
  Buffer<Routing> routings;  // one per hosted virtual rank
  RemoteExpertsSaved<In> remote;

  // Frees everything that SwitchLayer::repeat can recompute.
  void keep_decisions() { remote.keep_decisions(); }
};

class SwitchLayer {
 public:
  SwitchLayer(SparseLayerConfig config, SparseLayerParams params);

  // x [h*N, D] (normalised) -> y [h*N, D], written; rows of dropped and padding tokens are zero.
  // Collective over context.comm.
  template <class In>
  SwitchLayerSaved<In> forward(StepContext& context, const ParamSet& params, const Tokens& tokens,
                               View<const In> x, View<float> y) const;
  // Recomputes forward with the routing decisions in `saved`: nothing is routed or counted anew,
  // and the result has the same bits. Overwrites the rest of `saved`. Collective over context.comm.
  template <class In>
  void repeat(StepContext& context, const ParamSet& params, const Tokens& tokens, View<const In> x,
              View<float> y, SwitchLayerSaved<In>& saved) const;
  // dy [h*N, D]; writes dx [h*N, D] and adds to the gradient leaves. Collective over context.comm.
  template <class In>
  void backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                const SwitchLayerSaved<In>& saved, View<const In> x, View<const float> dy,
                View<float> dx) const;

 private:
  // The data of the routers' backward: their input, and the incoming and outgoing gradients.
  template <class In>
  struct RouterFlow {
    View<const In> x;                 // [h*N, D]
    std::span<const float> d_weight;  // [h, k, N]
    View<float> dx;                   // [h*N, D], added to
  };

  // The routing input of the i-th hosted virtual rank. x [N, D], widened to f32; given [N].
  RoutingInput routing_input(const StepContext& context, const ParamSet& params,
                             const Tokens& tokens, View<const float> x,
                             std::span<const std::int32_t> given, std::int64_t i) const;
  ChoiceRule choice_rule(const StepContext& context, const Tokens& tokens,
                         std::span<const std::uint64_t> index) const;
  RandomStream stream(const StepContext& context, Purpose purpose) const;
  // [N] the expert of each token for hash routing; empty for other methods.
  Buffer<std::int32_t> hashed_experts(const StepContext& context, const Tokens& tokens,
                                      std::int64_t i) const;

  template <class In>
  Buffer<Routing> route_groups(StepContext& context, const ParamSet& params, const Tokens& tokens,
                               View<const In> x) const;
  template <class In>
  void route_groups_backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                             std::span<const Routing> routings, const RouterFlow<In>& flow) const;
  // Replaces each group's f by the fractions over all virtual ranks. Collective over context.comm.
  void share_choices(StepContext& context, std::span<Routing> routings) const;

  SparseLayerConfig config_;
  SparseLayerParams params_;
  RemoteExperts experts_;
};

}  // namespace switchyard
