#include "moe/remote_experts.hpp"

#include <utility>

namespace switchyard {

template <class In>
RemoteExpertsSaved<In> RemoteExperts::announce(StepContext& context, DispatchPlan plan,
                                               std::span<const std::uint64_t> row_index) const {
  RemoteExpertsSaved<In> saved;
  saved.plan = std::move(plan);
  saved.exchange = RowExchange(context, saved.plan, layer_);
  if (drops_hidden(context.mode))
    saved.expert_row_index = saved.exchange.indices_to_experts(context, saved.plan, row_index);
  return saved;
}

template <class In>
void RemoteExperts::compute(StepContext& context, const ParamSet& params, Tensor<In> packed,
                            RemoteExpertsSaved<In>& saved) const {
  Tensor<In> gathered = saved.exchange.to_experts(context, std::move(packed));
  Tensor<In> computed = [&] {
    const ScopedPhase phase(context.timer, Phase::experts);
    auto output = experts_forward(context.work, params, owned(context, saved.expert_row_index),
                                  saved.exchange.batches(), std::move(gathered));
    saved.experts = std::move(output.saved);
    return std::move(output.y);
  }();
  saved.output = saved.exchange.from_experts(context, std::move(computed));
}

template <class In>
Tensor<In> RemoteExperts::backward(StepContext& context, ParamSet& params,
                                   const RemoteExpertsSaved<In>& saved, Tensor<In> d_output) const {
  const Tensor<In> d_computed =
      saved.exchange.to_experts(context, std::move(d_output), Pass::backward);
  Tensor<In> d_gathered = [&] {
    const ScopedPhase phase(context.timer, Phase::experts);
    return experts_backward(context.work, params, owned(context, saved.expert_row_index),
                            saved.exchange.batches(), saved.experts, d_computed.view());
  }();
  return saved.exchange.from_experts(context, std::move(d_gathered), Pass::backward);
}

OwnedExperts RemoteExperts::owned(const StepContext& context,
                                  std::span<const std::uint64_t> expert_row_index) const {
  const Rank self = context.comm.rank();
  const HiddenDropout dropout{
      drops_hidden(context.mode) ? hidden_dropout_rate_ : 0.0f,
      RandomStream(context.seed, Purpose::hidden_dropout, layer_, context.step), expert_row_index};
  return {experts_, context.layout.owned_experts(self).first, context.layout.groups_of(self).first,
          activation_, dropout};
}

#define SWITCHYARD_INSTANTIATE(In)                                                               \
  template RemoteExpertsSaved<In> RemoteExperts::announce(StepContext&, DispatchPlan,            \
                                                          std::span<const std::uint64_t>) const; \
  template void RemoteExperts::compute(StepContext&, const ParamSet&, Tensor<In>,                \
                                       RemoteExpertsSaved<In>&) const;                           \
  template Tensor<In> RemoteExperts::backward(StepContext&, ParamSet&,                           \
                                              const RemoteExpertsSaved<In>&, Tensor<In>) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
