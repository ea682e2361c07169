// The Switch feed-forward layer (Fedus et al. 2021, section 2) and its kin in which tokens or
// experts choose: route, plan, dispatch, experts, return, combine; then the same six backward. It
// works on all virtual ranks that a process hosts together, so that one exchange serves them all.
// In: the precision of the rows that are exchanged and of the experts' products; the router and all
// that is added to the residual stream are f32.
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
  double balance_weight = 0, z_weight = 0;  // of this layer's losses in the objective
  Activation activation = Activation::relu;
  std::uint32_t layer = 0;  // its number through both stacks, which keys random draws
};

// The parameters of one sparse layer held by this process, as indices into its ParamSet.
struct SparseLayerParams {
  std::optional<std::size_t> router;  // [D, E], dense: on every process; unset: nothing is learnt
  std::optional<std::size_t> bias;    // [1, E], with load balancing by bias
  std::vector<ExpertParams> experts;  // the owned ones, in order; may be empty
};

template <class In>
struct SwitchLayerSaved {
  Buffer<Routing> routings;  // one a hosted virtual rank
  RemoteExpertsSaved<In> remote;

  // Frees what SwitchLayer::repeat makes again.
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
  // Forward again from `saved`'s decisions: decides nothing anew, counts nothing, and gives the
  // same bits. Makes the rest of `saved`, whatever was there. Collective over context.comm.
  template <class In>
  void repeat(StepContext& context, const ParamSet& params, const Tokens& tokens, View<const In> x,
              View<float> y, SwitchLayerSaved<In>& saved) const;
  // dy [h*N, D]; writes dx [h*N, D] and adds to the gradient leaves. Collective over context.comm.
  template <class In>
  void backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                const SwitchLayerSaved<In>& saved, View<const In> x, View<const float> dy,
                View<float> dx) const;

 private:
  // What flows through the routers in backward: their input, and the gradients in and out.
  template <class In>
  struct RouterFlow {
    View<const In> x;                 // [h*N, D]
    std::span<const float> d_weight;  // [h, k, N]
    View<float> dx;                   // [h*N, D], added to
  };

  // Of the i-th hosted virtual rank. x [N, D], its rows widened; given [N].
  RoutingInput routing_input(const StepContext& context, const ParamSet& params,
                             const Tokens& tokens, View<const float> x,
                             std::span<const std::int32_t> given, std::int64_t i) const;
  ChoiceRule choice_rule(const StepContext& context, const Tokens& tokens,
                         std::span<const std::uint64_t> index) const;
  RandomStream stream(const StepContext& context, Purpose purpose) const;
  // [N] where the routing is by hash; empty otherwise.
  Buffer<std::int32_t> hashed_experts(const StepContext& context, const Tokens& tokens,
                                      std::int64_t i) const;

  template <class In>
  Buffer<Routing> route_groups(StepContext& context, const ParamSet& params, const Tokens& tokens,
                               View<const In> x) const;
  template <class In>
  void route_groups_backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                             std::span<const Routing> routings, const RouterFlow<In>& flow) const;
  // Makes f the shares over all virtual ranks. Collective over context.comm.
  void share_choices(StepContext& context, std::span<Routing> routings) const;

  SparseLayerConfig config_;
  SparseLayerParams params_;
  RemoteExperts experts_;
};

}  // namespace switchyard
