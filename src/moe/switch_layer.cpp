// Forward and backward of the layer, and the sweeps over tokens that only it needs: packing rows in
// send order, combining, and the backward of both.
#include "moe/switch_layer.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/buffer.hpp"
#include "moe/capacity.hpp"
#include "moe/perturbation.hpp"
#include "tensor/rounding.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

DispatchPlan plan_groups(StepContext& context, std::span<const Routing> routings) {
  const ScopedPhase phase(context.timer, Phase::routing);
  Buffer<const Selection*> selections;
  for (const Routing& routing : routings) selections.push_back(&routing.selection);
  return plan_dispatch(context.layout, context.comm.rank(), selections, context.transport.chunks());
}

// The kept rows of x [h*N, D] in send order.
template <class In>
Tensor<In> rows_in_send_order(StepContext& context, const DispatchPlan& plan, View<const In> x) {
  const ScopedPhase phase(context.timer, Phase::routing);
  return gather_rows<In>(x, plan.rows);
}

// Calls f(place among the group's choices [k, N], position in send order) for each kept choice of
// one row of activations, in choice order rather than order of arrival, so that sums are
// deterministic.
template <class F>
void for_each_kept(const DispatchPlan& plan, std::int64_t N, std::int64_t row, F f) {
  const std::int64_t group = row / N * plan.choices * N;
  for (std::int64_t j = 0; j < plan.choices; ++j) {
    const std::int64_t place = j * N + row % N;
    if (const std::int64_t position = plan.position[group + place]; position >= 0)
      f(place, position);
  }
}

// The backward of rows_in_send_order: writes dx [h*N, D]; zero for dropped and padding tokens.
template <class In>
void add_up_rows(StepContext& context, const DispatchPlan& plan, std::int64_t N,
                 const Tensor<In>& packed, View<float> dx) {
  const ScopedPhase phase(context.timer, Phase::routing);
  for_each_shared(dx.rows, dx.size(), [&](std::int64_t row) {
    float* __restrict to = dx.row(row);
    bool first = true;
    for_each_kept(plan, N, row, [&](std::int64_t, std::int64_t position) {
      const In* __restrict from = packed.view().row(position);
      if (std::exchange(first, false)) {
        for (std::int64_t d = 0; d < dx.cols; ++d) to[d] = to_float(from[d]);
      } else {
        for (std::int64_t d = 0; d < dx.cols; ++d) to[d] += to_float(from[d]);
      }
    });
    if (first) std::fill_n(to, dx.cols, 0.0f);
  });
}

// y[row] = sum over its kept choices of gate * expert output; exactly zero for dropped and padding
// tokens. y [h*N, D].
template <class In>
void combine(StepContext& context, const SwitchLayerSaved<In>& saved, std::int64_t N,
             View<float> y) {
  const ScopedPhase phase(context.timer, Phase::routing);
  for_each_shared(y.rows, y.size(), [&](std::int64_t row) {
    float* __restrict to = y.row(row);
    const Buffer<float>& weight = saved.routings[row / N].selection.weight;
    bool first = true;
    for_each_kept(saved.remote.plan, N, row, [&](std::int64_t place, std::int64_t position) {
      const float gate = weight[place];
      const In* __restrict output = saved.remote.output.view().row(position);
      if (std::exchange(first, false)) {
        for (std::int64_t d = 0; d < y.cols; ++d) to[d] = gate * to_float(output[d]);
      } else {
        for (std::int64_t d = 0; d < y.cols; ++d) to[d] += gate * to_float(output[d]);
      }
    });
    if (first) std::fill_n(to, y.cols, 0.0f);
  });
}

template <class In>
struct CombineGradients {
  Tensor<In> output;     // [kept rows, D] d loss / d expert output, in send order
  Buffer<float> weight;  // [h, k, N] d loss / d gate; 0 for choices that are not kept
};

// Multiplies by the gate at the source, so that the experts' owners need no gates.
template <class In>
CombineGradients<In> combine_backward(StepContext& context, const SwitchLayerSaved<In>& saved,
                                      std::int64_t N, View<const float> dy) {
  const ScopedPhase phase(context.timer, Phase::routing);
  const DispatchPlan& plan = saved.remote.plan;
  const View<const In> output = saved.remote.output.view();
  CombineGradients<In> d{Tensor<In>::uninitialized(output.rows, output.cols),
                         Buffer<float>(plan.position.size(), 0.0f)};
  for_each_shared(dy.rows, dy.size(), [&](std::int64_t row) {
    const std::int64_t i = row / N;
    const float* __restrict upstream = dy.row(row);
    for_each_kept(plan, N, row, [&](std::int64_t place, std::int64_t position) {
      const float gate = saved.routings[i].selection.weight[place];
      const In* __restrict computed = output.row(position);
      In* __restrict to = d.output.view().row(position);
      d.weight[i * plan.choices * N + place] =
          lane_sum(dy.cols, [&](std::int64_t c) { return upstream[c] * to_float(computed[c]); });
      for (std::int64_t c = 0; c < dy.cols; ++c) to[c] = from_float<In>(gate * upstream[c]);
    });
  });
  return d;
}

}  // namespace

SwitchLayer::SwitchLayer(SparseLayerConfig config, SparseLayerParams params)
    : config_(std::move(config)),
      params_(std::move(params)),
      experts_(config_.activation, config_.moe.expert_dropout_rate, config_.layer,
               std::move(params_.experts)) {}

template <class In>
SwitchLayerSaved<In> SwitchLayer::forward(StepContext& context, const ParamSet& params,
                                          const Tokens& tokens, View<const In> x,
                                          View<float> y) const {
  SwitchLayerSaved<In> saved;
  saved.routings = route_groups(context, params, tokens, x);
  saved.remote = experts_.announce<In>(context, plan_groups(context, saved.routings), tokens.index);
  repeat(context, params, tokens, x, y, saved);
  return saved;
}

template <class In>
void SwitchLayer::repeat(StepContext& context, const ParamSet& params, const Tokens& tokens,
                         View<const In> x, View<float> y, SwitchLayerSaved<In>& saved) const {
  experts_.compute(context, params, rows_in_send_order(context, saved.remote.plan, x),
                   saved.remote);
  combine(context, saved, tokens.per_rank, y);
}

template <class In>
void SwitchLayer::backward(StepContext& context, ParamSet& params, const Tokens& tokens,
                           const SwitchLayerSaved<In>& saved, View<const In> x,
                           View<const float> dy, View<float> dx) const {
  auto d = combine_backward(context, saved, tokens.per_rank, dy);
  auto d_packed = experts_.backward(context, params, saved.remote, std::move(d.output));
  add_up_rows(context, saved.remote.plan, tokens.per_rank, d_packed, dx);
  route_groups_backward<In>(context, params, tokens, saved.routings, {x, d.weight, dx});
}

RandomStream SwitchLayer::stream(const StepContext& context, Purpose purpose) const {
  return {context.seed, purpose, config_.layer, static_cast<std::uint64_t>(context.step)};
}

ChoiceRule SwitchLayer::choice_rule(const StepContext& context, const Tokens& tokens,
                                    std::span<const std::uint64_t> index) const {
  const MoeConfig& moe = config_.moe;
  ChoiceRule rule;
  rule.drop = moe.drop_policy;
  rule.capacity = group_capacity(moe, context.mode, tokens.per_rank);
  if (config_.method == RoutingMethod::top2) {
    rule.choices = 2;
    rule.normalize = true;
    rule.normalizer_term = 1e-9f;
    rule.second = moe.second_policy;
    rule.second_threshold = moe.second_threshold;
  } else if (config_.method == RoutingMethod::topk) {
    rule.choices = moe.router_topk;
    rule.normalize = moe.normalize_gates;
    rule.normalizer_term = 1e-30f;  // too small to change a gate, but it prevents 0 / 0
  } else if (config_.method == RoutingMethod::ntlb) {
    rule.choices = moe.ntlb_top_k;
    rule.until_placed = true;
  }
  if (context.mode == Mode::evaluate) return rule;  // evaluation draws no random numbers
  rule.second_draws = TokenDraws{stream(context, Purpose::second_choice), index};
  rule.drop_draws = TokenDraws{stream(context, Purpose::drop_order), index};
  return rule;
}

RoutingInput SwitchLayer::routing_input(const StepContext& context, const ParamSet& params,
                                        const Tokens& tokens, View<const float> x,
                                        std::span<const std::int32_t> given, std::int64_t i) const {
  const MoeConfig& moe = config_.moe;
  const std::int64_t N = tokens.per_rank;
  const auto index = tokens.index.subspan(i * N, N);
  const bool trains = context.mode == Mode::train;
  RoutingInput input;
  input.method = config_.method;
  input.router.x = x;
  input.router.perturbation = perturbation(moe, context, config_.layer, index);
  input.router.precision = moe.router_precision;
  input.real = tokens.real.subspan(i * N, N);
  input.given = given;
  input.choice = choice_rule(context, tokens, index);
  input.expert_choice = {tokens.row_length, trains ? moe.capacity_factor : moe.eval_capacity_factor,
                         moe.min_capacity, moe.router_precision};
  input.sample_temperature = moe.sample_temperature;
  input.force_load_balancing = moe.force_load_balancing;
  if (params_.router) input.router.weights = params[*params_.router].value;
  if (params_.bias) input.bias = params[*params_.bias].value.flat();
  if (trains && moe.exploration == Exploration::sample)
    input.sampling = TokenDraws{stream(context, Purpose::router_sample), index};
  return input;
}

Buffer<std::int32_t> SwitchLayer::hashed_experts(const StepContext& context, const Tokens& tokens,
                                                 std::int64_t i) const {
  if (config_.method != RoutingMethod::hash) return {};
  const RandomStream hash(context.seed, Purpose::hash_routing, config_.layer, 0);
  const auto experts = static_cast<std::uint32_t>(config_.moe.num_experts);
  Buffer<std::int32_t> result;
  for (std::int64_t t = i * tokens.per_rank; t < (i + 1) * tokens.per_rank; ++t) {
    const auto id = static_cast<std::uint64_t>(tokens.ids[t]);
    result.push_back(tokens.real[t] ? static_cast<std::int32_t>(hash.block(id, 0)[0] % experts)
                                    : -1);
  }
  return result;
}

template <class In>
Buffer<Routing> SwitchLayer::route_groups(StepContext& context, const ParamSet& params,
                                          const Tokens& tokens, View<const In> x) const {
  const ScopedPhase phase(context.timer, Phase::routing);
  const std::int64_t N = tokens.per_rank;
  Buffer<Routing> routings;
  for (std::int64_t i = 0; i < context.hosted().size(); ++i) {
    const Converted<float, In> seen(x.row_range(i * N, N));
    const Buffer<std::int32_t> given = hashed_experts(context, tokens, i);
    routings.push_back(route(context.work,
                             routing_input(context, params, tokens, seen.view(), given, i),
                             config_.moe.num_experts));
  }
  if (config_.moe.aux_loss_scope == AuxLossScope::global && tokens_choose(config_.method))
    share_choices(context, routings);
  return routings;
}

void SwitchLayer::share_choices(StepContext& context, std::span<Routing> routings) const {
  // The choices of each expert, then their sum.
  Buffer<std::int64_t> chosen(config_.moe.num_experts + 1, 0);
  for (const Routing& routing : routings) {
    std::ranges::transform(chosen, routing.balance.chosen, chosen.begin(), std::plus());
    chosen.back() += routing.balance.choices;
  }
  all_reduce_sum(context.comm, chosen);
  for (Routing& routing : routings) {
    routing.balance.choices = chosen.back();
    routing.balance.chosen.assign(chosen.begin(), chosen.end() - 1);
    routing.stats.balance_sum = routing.balance.loss();
  }
}

template <class In>
void SwitchLayer::route_groups_backward(StepContext& context, ParamSet& params,
                                        const Tokens& tokens, std::span<const Routing> routings,
                                        const RouterFlow<In>& flow) const {
  if (!params_.router) return;
  const ScopedPhase phase(context.timer, Phase::routing);
  const std::int64_t N = tokens.per_rank;
  for (std::int64_t i = 0; i < std::ssize(routings); ++i) {
    // The loss is the mean over the run's routing groups; the z-loss is the mean over the step's
    // real tokens.
    RouterLossScale scale;
    scale.balance = config_.balance_weight /
                    static_cast<double>(context.layout.virtual_ranks() * context.micro_steps *
                                        routings[i].stats.groups);
    if (tokens.real_in_step > 0)
      scale.z = static_cast<float>(config_.z_weight / static_cast<double>(tokens.real_in_step));
    const Converted<float, In> seen(flow.x.row_range(i * N, N));
    const std::int64_t choices = routings[i].selection.choices * N;
    route_backward(context.work, routing_input(context, params, tokens, seen.view(), {}, i),
                   routings[i], flow.d_weight.subspan(i * choices, choices), scale,
                   {params[*params_.router].leaves[i].sum(), flow.dx.row_range(i * N, N)});
  }
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
