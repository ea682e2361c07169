// The Switch feed-forward layer (Fedus et al. 2021, section 2): route, plan, dispatch, experts,
// return, combine; and the same six upside down. It works on all virtual ranks that a process hosts
// together, so that one exchange serves them all. In: the precision of the rows that are exchanged
// and of the experts' products; the router and all that is added to the residual stream are f32.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "moe/dispatcher.hpp"
#include "moe/experts.hpp"
#include "moe/moe_config.hpp"
#include "moe/router.hpp"
#include "moe/step_context.hpp"
#include "moe/tokens.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// The parameters of one Switch layer held by this process, as indices into its ParamSet.
struct SwitchLayerParams {
  std::size_t router = 0;             // [D, E], dense: on every process
  std::vector<ExpertParams> experts;  // the owned ones, in order; may be empty
};

template <class In>
struct SwitchLayerSaved {
  std::vector<Routing> routings;  // one a hosted virtual rank
  DispatchPlan plan;
  Exchange exchange;
  std::vector<std::uint64_t> expert_token_index;  // [owned rows]; only with hidden dropout
  ExpertsSaved<In> experts;
  Tensor<In> expert_output;  // [kept rows, D] unscaled, in send order, at the source

  // Frees what SwitchLayer::repeat makes again.
  void keep_decisions() { experts = {}, expert_output = {}; }
};

class SwitchLayer {
 public:
  // `layer`: its number through both stacks, which keys random draws.
  SwitchLayer(const MoeConfig& config, Activation activation, float hidden_dropout_rate,
              std::uint32_t layer, SwitchLayerParams params);

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
    View<const In> x;               // [h*N, D]
    std::span<const float> d_gate;  // [h*N]
    View<float> dx;                 // [h*N, D], added to
  };

  // Of the i-th hosted virtual rank; x [N, D], its rows widened.
  RouterInput router_input(const StepContext& context, const ParamSet& params, const Tokens& tokens,
                           View<const float> x, std::int64_t i) const;
  template <class In>
  std::vector<Routing> route_groups(StepContext& context, const ParamSet& params,
                                    const Tokens& tokens, View<const In> x) const;
  template <class In>
  void route_groups_backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                             std::span<const Routing> routings, const RouterFlow<In>& flow) const;
  DispatchPlan plan_groups(StepContext& context, const Tokens& tokens,
                           std::span<Routing> routings) const;

  bool drops_hidden(Mode mode) const;
  OwnedExperts owned_experts(const StepContext& context,
                             std::span<const std::uint64_t> expert_token_index) const;
  template <class In>
  Tensor<In> run_experts(StepContext& context, const ParamSet& params, Tensor<In> gathered,
                         SwitchLayerSaved<In>& saved) const;
  template <class In>
  Tensor<In> run_experts_backward(StepContext& context, ParamSet& params,
                                  const SwitchLayerSaved<In>& saved, View<const In> dy) const;

  MoeConfig config_;
  Activation activation_;
  float hidden_dropout_rate_;
  std::uint32_t layer_;
  SwitchLayerParams params_;
};

}  // namespace switchyard
