// The layer's two passes, and the sweeps over tokens that only it needs: pack, combine and their
// backwards.
#include "moe/switch_layer.hpp"

#include <algorithm>
#include <cassert>

#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

std::int64_t capacity(const MoeConfig& config, Mode mode, std::int64_t N) {
  const bool training = mode == Mode::train;
  if (training ? config.dropless : config.eval_dropless) return N;  // room for every token
  return expert_capacity(N, training ? config.capacity_factor : config.eval_capacity_factor,
                         config.num_experts, config.min_capacity);
}

// The kept rows of x [h*N, D] in send order.
template <class In>
Tensor<In> pack(StepContext& context, const DispatchPlan& plan, View<const In> x) {
  const ScopedPhase phase(context.timer, Phase::routing);
  return gather_rows<In>(x, plan.rows);
}

// The backward of `pack`: writes dx [h*N, D]; zero for dropped and padding tokens.
template <class In>
void unpack(StepContext& context, const DispatchPlan& plan, const Tensor<In>& packed,
            View<float> dx) {
  const ScopedPhase phase(context.timer, Phase::routing);
  for_each_shared(dx.rows, dx.size(), [&](std::int64_t row) {
    float* __restrict to = dx.row(row);
    const std::int64_t position = plan.position[row];
    if (position < 0) {
      std::fill_n(to, dx.cols, 0.0f);
      return;
    }
    const In* __restrict from = packed.view().row(position);
    for (std::int64_t d = 0; d < dx.cols; ++d) to[d] = to_float(from[d]);
  });
}

// y[row] = gate * expert output; exactly zero for dropped and padding tokens. y [h*N, D].
template <class In>
void combine(StepContext& context, const SwitchLayerSaved<In>& saved, std::int64_t N,
             View<float> y) {
  const ScopedPhase phase(context.timer, Phase::routing);
  for_each_shared(y.rows, y.size(), [&](std::int64_t row) {
    float* __restrict to = y.row(row);
    const std::int64_t position = saved.plan.position[row];
    if (position < 0) {
      std::fill_n(to, y.cols, 0.0f);
      return;
    }
    const float gate = saved.routings[row / N].gate[row % N];
    const In* __restrict output = saved.expert_output.view().row(position);
    for (std::int64_t d = 0; d < y.cols; ++d) to[d] = gate * to_float(output[d]);
  });
}

template <class In>
struct CombineGradients {
  Tensor<In> output;        // [kept rows, D] d loss / d expert output, in send order
  std::vector<float> gate;  // [h*N] d loss / d gate; 0 for dropped and padding tokens
};

// Scales by the gate at the source, so that the experts' owners need no gates.
template <class In>
CombineGradients<In> combine_backward(StepContext& context, const SwitchLayerSaved<In>& saved,
                                      std::int64_t N, View<const float> dy) {
  const ScopedPhase phase(context.timer, Phase::routing);
  const View<const In> output = saved.expert_output.view();
  CombineGradients<In> d{Tensor<In>::uninitialized(output.rows, output.cols),
                         std::vector<float>(dy.rows, 0.0f)};
  for_each_shared(dy.rows, dy.size(), [&](std::int64_t row) {
    const std::int64_t position = saved.plan.position[row];
    if (position < 0) return;
    const float gate = saved.routings[row / N].gate[row % N];
    const float* __restrict upstream = dy.row(row);
    const In* __restrict computed = output.row(position);
    In* __restrict to = d.output.view().row(position);
    d.gate[row] =
        lane_sum(dy.cols, [&](std::int64_t i) { return upstream[i] * to_float(computed[i]); });
    for (std::int64_t i = 0; i < dy.cols; ++i) to[i] = from_float<In>(gate * upstream[i]);
  });
  return d;
}

}  // namespace

SwitchLayer::SwitchLayer(const MoeConfig& config, Activation activation, float hidden_dropout_rate,
                         std::uint32_t layer, SwitchLayerParams params)
    : config_(config),
      activation_(activation),
      hidden_dropout_rate_(hidden_dropout_rate),
      layer_(layer),
      params_(std::move(params)) {}

template <class In>
SwitchLayerSaved<In> SwitchLayer::forward(StepContext& context, const ParamSet& params,
                                          const Tokens& tokens, View<const In> x,
                                          View<float> y) const {
  SwitchLayerSaved<In> saved;
  saved.routings = route_groups(context, params, tokens, x);
  saved.plan = plan_groups(context, tokens, saved.routings);
  saved.exchange = exchange_counts(context, saved.plan, layer_);
  if (drops_hidden(context.mode))
    saved.expert_token_index = dispatch_indices(context, saved.plan, saved.exchange, tokens.index);
  repeat(context, params, tokens, x, y, saved);
  return saved;
}

template <class In>
void SwitchLayer::repeat(StepContext& context, const ParamSet& params, const Tokens& tokens,
                         View<const In> x, View<float> y, SwitchLayerSaved<In>& saved) const {
  auto gathered = dispatch(context, saved.exchange, pack(context, saved.plan, x));
  auto computed = run_experts(context, params, std::move(gathered), saved);
  saved.expert_output = return_rows(context, saved.exchange, std::move(computed));
  combine(context, saved, tokens.per_rank, y);
}

template <class In>
void SwitchLayer::backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                           const SwitchLayerSaved<In>& saved, View<const In> x,
                           View<const float> dy, View<float> dx) const {
  auto d = combine_backward(context, saved, tokens.per_rank, dy);
  auto d_computed = dispatch(context, saved.exchange, std::move(d.output), Pass::backward);
  auto d_gathered = run_experts_backward<In>(context, params, saved, d_computed.view());
  auto d_packed = return_rows(context, saved.exchange, std::move(d_gathered), Pass::backward);
  unpack(context, saved.plan, d_packed, dx);
  route_groups_backward<In>(context, params, tokens, saved.routings, {x, d.gate, dx});
}

RouterInput SwitchLayer::router_input(const StepContext& context, const ParamSet& params,
                                      const Tokens& tokens, View<const float> x,
                                      std::int64_t i) const {
  const std::int64_t N = tokens.per_rank;
  const Jitter jitter{context.mode == Mode::train ? static_cast<float>(config_.jitter_eps) : 0.0f,
                      RandomStream(context.seed, Purpose::router_jitter, layer_, context.step),
                      tokens.index.subspan(i * N, N)};
  return {x, params[params_.router].value, tokens.real.subspan(i * N, N), jitter};
}

template <class In>
std::vector<Routing> SwitchLayer::route_groups(StepContext& context, const ParamSet& params,
                                               const Tokens& tokens, View<const In> x) const {
  const ScopedPhase phase(context.timer, Phase::routing);
  const std::int64_t N = tokens.per_rank;
  std::vector<Routing> routings;
  for (std::int64_t i = 0; i < context.hosted().size(); ++i) {
    const Converted<float, In> seen(x.row_range(i * N, N));
    routings.push_back(route(context.work, router_input(context, params, tokens, seen.view(), i)));
  }
  return routings;
}

template <class In>
void SwitchLayer::route_groups_backward(StepContext& context, ParamSet& params,
                                        const Tokens& tokens, std::span<const Routing> routings,
                                        const RouterFlow<In>& flow) const {
  const ScopedPhase phase(context.timer, Phase::routing);
  const std::int64_t N = tokens.per_rank;
  RouterLossScale
      scale;  // the mean over the V*A routing groups; the mean over the step's real tokens
  scale.balance = static_cast<float>(config_.aux_loss_coef /
                                     (context.layout.virtual_ranks() * context.micro_steps));
  if (tokens.real_in_step > 0)
    scale.z = static_cast<float>(config_.z_loss_coef / static_cast<double>(tokens.real_in_step));
  for (std::int64_t i = 0; i < std::ssize(routings); ++i) {
    const Converted<float, In> seen(flow.x.row_range(i * N, N));
    route_backward(context.work, router_input(context, params, tokens, seen.view(), i), routings[i],
                   flow.d_gate.subspan(i * N, N), scale,
                   {params[params_.router].leaves[i], flow.dx.row_range(i * N, N)});
  }
}

DispatchPlan SwitchLayer::plan_groups(StepContext& context, const Tokens& tokens,
                                      std::span<Routing> routings) const {
  const ScopedPhase phase(context.timer, Phase::routing);
  return plan_dispatch(context.layout, context.comm.rank(), routings,
                       capacity(config_, context.mode, tokens.per_rank));
}

bool SwitchLayer::drops_hidden(Mode mode) const {
  return hidden_dropout_rate_ > 0 && mode == Mode::train;
}

OwnedExperts SwitchLayer::owned_experts(const StepContext& context,
                                        std::span<const std::uint64_t> expert_token_index) const {
  const Rank self = context.comm.rank();
  const HiddenDropout dropout{
      drops_hidden(context.mode) ? hidden_dropout_rate_ : 0.0f,
      RandomStream(context.seed, Purpose::hidden_dropout, layer_, context.step),
      expert_token_index};
  return {params_.experts, context.layout.owned_experts(self).first,
          context.layout.groups_of(self).first, activation_, dropout};
}

template <class In>
Tensor<In> SwitchLayer::run_experts(StepContext& context, const ParamSet& params,
                                    Tensor<In> gathered, SwitchLayerSaved<In>& saved) const {
  const ScopedPhase phase(context.timer, Phase::experts);
  auto [y, experts_saved] =
      experts_forward(context.work, params, owned_experts(context, saved.expert_token_index),
                      saved.exchange.batches, std::move(gathered));
  saved.experts = std::move(experts_saved);
  return std::move(y);
}

template <class In>
Tensor<In> SwitchLayer::run_experts_backward(StepContext& context, ParamSet& params,
                                             const SwitchLayerSaved<In>& saved,
                                             View<const In> dy) const {
  const ScopedPhase phase(context.timer, Phase::experts);
  return experts_backward(context.work, params, owned_experts(context, saved.expert_token_index),
                          saved.exchange.batches, saved.experts, dy);
}

#define SWITCHYARD_INSTANTIATE(In)                                                                 \
  template SwitchLayerSaved<In> SwitchLayer::forward(StepContext&, const ParamSet&, const Tokens&, \
                                                     View<const In>, View<float>) const;           \
  template void SwitchLayer::repeat(StepContext&, const ParamSet&, const Tokens&, View<const In>,  \
                                    View<float>, SwitchLayerSaved<In>&) const;                     \
  template void SwitchLayer::backward(StepContext&, ParamSet&, const Tokens&,                      \
                                      const SwitchLayerSaved<In>&, View<const In>,                 \
                                      View<const float>, View<float>) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
