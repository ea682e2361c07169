#include "moe/soft_layer.hpp"

#include <algorithm>
#include <utility>

#include "base/buffer.hpp"
#include "moe/perturbation.hpp"
#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

std::int64_t slots_of_rank(const SoftMixture& mixture) {
  return mixture.rows() * mixture.row_slots();
}

// The slots that the plan sends, out of slots [h*b*P, D], in send order.
template <class In>
Tensor<In> slots_in_send_order(const DispatchPlan& plan, View<const float> slots) {
  auto packed = Tensor<In>::uninitialized(std::ssize(plan.rows), slots.cols);
  for_each_shared(packed.rows(), packed.size(), [&](std::int64_t i) {
    const float* from = slots.row(plan.rows[i]);
    In* to = packed.view().row(i);
    for (std::int64_t d = 0; d < slots.cols; ++d) to[d] = from_float<In>(from[d]);
  });
  return packed;
}

// The inverse of slots_in_send_order: [h*b*P, D], 0 where nothing was sent.
template <class In>
Tensor<float> unpack(const DispatchPlan& plan, const Tensor<In>& packed) {
  auto slots = Tensor<float>::zeros(std::ssize(plan.position), packed.cols());
  for_each_shared(packed.rows(), packed.size(), [&](std::int64_t i) {
    const In* from = packed.view().row(i);
    float* to = slots.view().row(plan.rows[i]);
    for (std::int64_t d = 0; d < packed.cols(); ++d) to[d] = to_float(from[d]);
  });
  return slots;
}

RoutingStats stats_of(const SoftMixture& mixture, std::span<const std::uint8_t> real) {
  RoutingStats stats;
  stats.groups = mixture.rows();
  stats.real_tokens = std::count(real.begin(), real.end(), 1);
  stats.wanted = stats.real_tokens;
  std::int64_t slots = 0;  // used slots per expert, summed over rows
  for (const std::int64_t used : mixture.used) slots += used;
  stats.tokens_per_expert.assign(mixture.experts, slots);
  stats.computed = stats.places = mixture.experts * slots;
  stats.z_sum = mixture.combine.z_sum;
  stats.entropy_sum = mixture.combine.entropy_sum;
  stats.confidence_sum = confidence(mixture.combine);
  return stats;
}

}  // namespace

SoftLayer::SoftLayer(SparseLayerConfig config, SparseLayerParams params)
    : config_(std::move(config)),
      params_(std::move(params)),
      experts_(config_.activation, config_.moe.expert_dropout_rate, config_.layer,
               std::move(params_.experts)) {}

RouterInput SoftLayer::router_input(const StepContext& context, const ParamSet& params,
                                    const Tokens& tokens, View<const float> x,
                                    std::int64_t i) const {
  const std::int64_t N = tokens.per_rank;
  return {x, params[*params_.router].value,
          perturbation(config_.moe, context, config_.layer, tokens.index.subspan(i * N, N)),
          config_.moe.router_precision};
}

template <class In>
void SoftLayer::mix(StepContext& context, const ParamSet& params, const Tokens& tokens,
                    View<const In> x, SoftLayerSaved<In>& saved) const {
  const ScopedPhase phase(context.timer, Phase::routing);
  const std::int64_t N = tokens.per_rank, E = config_.moe.num_experts;
  const SoftRule rule{tokens.row_length, config_.moe.capacity_factor, E,
                      params[*params_.router].spec.cols / E};
  for (std::int64_t i = 0; i < context.hosted().size(); ++i) {
    const Converted<float, In> seen(x.row_range(i * N, N));
    const auto real = tokens.real.subspan(i * N, N);
    Tensor<float> logits =
        router_logits(context.work, router_input(context, params, tokens, seen.view(), i));
    saved.mixtures.push_back(
        soft_mixture(rule, std::move(logits), real, config_.moe.router_precision));
    saved.stats.push_back(stats_of(saved.mixtures.back(), real));
  }
}

template <class In>
RemoteExpertsSaved<In> SoftLayer::announce(StepContext& context, const Tokens& tokens,
                                           const Buffer<SoftMixture>& mixtures) const {
  Buffer<Selection> selections;
  Buffer<const Selection*> views;
  Buffer<std::uint64_t> slot_index;  // sample number x P + slot
  for (std::int64_t i = 0; i < std::ssize(mixtures); ++i) {
    const auto P = static_cast<std::uint64_t>(mixtures[i].row_slots());
    selections.push_back(slots_to_experts(mixtures[i]));
    for (std::int64_t row = 0; row < mixtures[i].rows(); ++row) {
      const std::uint64_t first = tokens.index[i * tokens.per_rank + row * tokens.row_length];
      const std::uint64_t sample = first / static_cast<std::uint64_t>(tokens.row_length);
      for (std::uint64_t slot = 0; slot < P; ++slot) slot_index.push_back(sample * P + slot);
    }
  }
  for (const Selection& selection : selections) views.push_back(&selection);
  return experts_.announce<In>(
      context,
      plan_dispatch(context.layout, context.comm.rank(), views, context.transport.chunks()),
      slot_index);
}

template <class In>
SoftLayerSaved<In> SoftLayer::forward(StepContext& context, const ParamSet& params,
                                      const Tokens& tokens, View<const In> x, View<float> y) const {
  SoftLayerSaved<In> saved;
  mix(context, params, tokens, x, saved);
  saved.remote = announce<In>(context, tokens, saved.mixtures);
  repeat(context, params, tokens, x, y, saved);
  return saved;
}

template <class In>
void SoftLayer::repeat(StepContext& context, const ParamSet& params, const Tokens& tokens,
                       View<const In> x, View<float> y, SoftLayerSaved<In>& saved) const {
  const std::int64_t N = tokens.per_rank;
  auto slots = Tensor<float>::uninitialized(std::ssize(saved.remote.plan.position), x.cols);
  for (std::int64_t i = 0; i < std::ssize(saved.mixtures); ++i) {
    const ScopedPhase phase(context.timer, Phase::routing);
    const Converted<float, In> seen(x.row_range(i * N, N));
    const std::int64_t P = slots_of_rank(saved.mixtures[i]);
    mix_tokens(context.work, saved.mixtures[i], seen.view(), slots.row_range(i * P, P));
  }
  experts_.compute(context, params, slots_in_send_order<In>(saved.remote.plan, slots.view()),
                   saved.remote);
  const ScopedPhase phase(context.timer, Phase::routing);
  const Tensor<float> answers = unpack(saved.remote.plan, saved.remote.output);
  for (std::int64_t i = 0; i < std::ssize(saved.mixtures); ++i) {
    const std::int64_t P = slots_of_rank(saved.mixtures[i]);
    mix_answers(context.work, saved.mixtures[i], answers.row_range(i * P, P),
                y.row_range(i * N, N));
  }
}

template <class In>
void SoftLayer::backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                         const SoftLayerSaved<In>& saved, View<const In> x, View<const float> dy,
                         View<float> dx) const {
  const std::int64_t N = tokens.per_rank;
  auto d_answers = Tensor<float>::uninitialized(std::ssize(saved.remote.plan.position), x.cols);
  for (std::int64_t i = 0; i < std::ssize(saved.mixtures); ++i) {
    const ScopedPhase phase(context.timer, Phase::routing);
    const std::int64_t P = slots_of_rank(saved.mixtures[i]);
    mix_answers_backward(context.work, saved.mixtures[i], dy.row_range(i * N, N),
                         d_answers.row_range(i * P, P));
  }
  const Tensor<In> d_packed = experts_.backward(
      context, params, saved.remote, slots_in_send_order<In>(saved.remote.plan, d_answers.view()));
  const ScopedPhase phase(context.timer, Phase::routing);
  const Tensor<float> answers = unpack(saved.remote.plan, saved.remote.output);
  const Tensor<float> d_slots = unpack(saved.remote.plan, d_packed);
  const float d_z_sum =
      tokens.real_in_step == 0
          ? 0.0f
          : static_cast<float>(config_.z_weight / static_cast<double>(tokens.real_in_step));
  for (std::int64_t i = 0; i < std::ssize(saved.mixtures); ++i) {
    const std::int64_t P = slots_of_rank(saved.mixtures[i]);
    const Converted<float, In> seen(x.row_range(i * N, N));
    const MixtureFlow flow{seen.view(), dy.row_range(i * N, N), answers.row_range(i * P, P),
                           d_slots.row_range(i * P, P)};
    Tensor<float> d_logits =
        mix_tokens_backward(context.work, saved.mixtures[i], flow, d_z_sum, dx.row_range(i * N, N));
    router_backward(context.work, router_input(context, params, tokens, seen.view(), i),
                    std::move(d_logits),
                    {params[*params_.router].leaves[i].sum(), dx.row_range(i * N, N)});
  }
}

#define SWITCHYARD_INSTANTIATE(In)                                                                \
  template SoftLayerSaved<In> SoftLayer::forward(StepContext&, const ParamSet&, const Tokens&,    \
                                                 View<const In>, View<float>) const;              \
  template void SoftLayer::repeat(StepContext&, const ParamSet&, const Tokens&, View<const In>,   \
                                  View<float>, SoftLayerSaved<In>&) const;                        \
  template void SoftLayer::backward(StepContext&, ParamSet&, const Tokens&,                       \
                                    const SoftLayerSaved<In>&, View<const In>, View<const float>, \
                                    View<float>) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
