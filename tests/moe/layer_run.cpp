#include "moe/layer_run.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>
#include <string>

#include "moe/capacity.hpp"
#include "moe/uniform.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t vocabulary = 97;

template <class T>
std::vector<T> gather(const Comm& comm, const std::vector<T>& mine) {
  const auto all = all_gather_v<T>(comm, mine);
  return {all.begin(), all.end()};
}

template <class T>
void append(std::vector<T>& to, const auto& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// The parameters of one layer that this process holds, with the values of `inputs`.
struct LayerParams {
  ParamSet set;
  SparseLayerParams indices;
};

void copy_experts(const LayerCase& c, const LayerInputs& in, std::int64_t first,
                  LayerParams& params) {
  const std::int64_t kernel = c.D * c.F;
  for (std::int64_t e = first; const ExpertParams& expert : params.indices.experts) {
    std::copy_n(&in.wi[e * kernel], kernel, params.set[expert.wi].value.data);
    if (expert.wi_1 != 0)
      std::copy_n(&in.wi_1[e * kernel], kernel, params.set[expert.wi_1].value.data);
    std::copy_n(&in.wo[e * kernel], kernel, params.set[expert.wo].value.data);
    ++e;
  }
}

LayerParams make_params(const LayerCase& c, const LayerInputs& in, const Layout& layout,
                        Rank self) {
  std::vector<ParamSpec> specs;
  SparseLayerParams indices;
  const auto add = [&](ParamSpec spec) {
    specs.push_back(std::move(spec));
    return specs.size() - 1;
  };
  if (has_router(c.method)) indices.router = add({"router", "", c.D, router_columns(c), {}, {}});
  if (c.moe.load_balancing == LoadBalancing::bias) indices.bias = add({"bias", "", 1, c.E, {}, {}});
  if (specs.empty()) add({"another layer's", "", 1, 1, {}, {}});  // so that no expert's is the 0th
  for (const ExpertId e : layout.owned_experts(self)) {
    ExpertParams expert;
    expert.wi = add({"wi", "wi", c.D, c.F, e, {}});
    if (c.activation == Activation::gated_gelu)
      expert.wi_1 = add({"wi_1", "wi_1", c.D, c.F, e, {}});
    expert.wo = add({"wo", "wo", c.F, c.D, e, {}});
    indices.experts.push_back(expert);
  }
  LayerParams params{ParamSet(std::move(specs), static_cast<int>(layout.hosted(self).size()),
                              static_cast<int>(layout.groups_of(self).size()), layer_seed),
                     std::move(indices)};
  if (params.indices.router) {
    const View<float> router = params.set[*params.indices.router].value;
    assert(std::ssize(in.router) == router.size());
    std::ranges::copy(in.router, router.data);
  }
  if (params.indices.bias) std::ranges::copy(in.bias, params.set[*params.indices.bias].value.data);
  copy_experts(c, in, layout.owned_experts(self).first.value, params);
  if (c.precision == Precision::bfloat16) params.set.round_values();
  return params;
}

// Every gradient leaf of this process, with experts in order of groups.
void collect_leaves(const LayerParams& params, LayerOutputs& out) {
  const ParamSet& set = params.set;
  if (params.indices.router)
    for (const GradientLeaf& leaf : set[*params.indices.router].leaves)
      append(out.router_leaves, leaf.view().flat());
  if (params.indices.experts.empty()) return;
  for (std::size_t g = 0; g < set[params.indices.experts[0].wi].leaves.size(); ++g)
    for (const ExpertParams& expert : params.indices.experts) {
      append(out.expert_leaves, set[expert.wi].leaves[g].view().flat());
      if (expert.wi_1 != 0) append(out.expert_leaves, set[expert.wi_1].leaves[g].view().flat());
      append(out.expert_leaves, set[expert.wo].leaves[g].view().flat());
    }
}

template <class In>
void collect_decisions(const SwitchLayerSaved<In>& saved, LayerOutputs& out) {
  for (const Routing& routing : saved.routings) {
    out.stats.push_back(routing.stats);
    append(out.expert, routing.selection.expert);
    append(out.fate, routing.selection.fate);
    append(out.gate, routing.selection.weight);
  }
}

template <class In>
void collect_decisions(const SoftLayerSaved<In>& saved, LayerOutputs& out) {
  append(out.stats, saved.stats);
}

RoutingStats stats_of(std::span<const double> n, std::int64_t E) {
  const auto count = [&](std::int64_t i) { return static_cast<std::int64_t>(n[i]); };
  RoutingStats s{count(0), count(1), count(2), count(3), count(4), count(5),
                 {},       n[6],     n[7],     n[8],     n[9]};
  for (std::int64_t e = 0; e < E; ++e) s.tokens_per_expert.push_back(count(10 + e));
  return s;
}

// Combines the outputs of all processes.
LayerOutputs gather_outputs(const Comm& comm, const LayerCase& c, LayerOutputs mine) {
  LayerOutputs all;
  for (auto part : {&LayerOutputs::y, &LayerOutputs::dx, &LayerOutputs::router_leaves,
                    &LayerOutputs::expert_leaves, &LayerOutputs::gate})
    all.*part = gather(comm, mine.*part);
  all.expert = gather(comm, mine.expert);
  std::vector<std::int32_t> fate;
  for (const Fate f : mine.fate) fate.push_back(static_cast<std::int32_t>(f));
  for (const std::int32_t f : gather(comm, fate)) all.fate.push_back(static_cast<Fate>(f));
  std::vector<double> stats;
  for (const RoutingStats& s : mine.stats) append(stats, numbers(s));
  stats = gather(comm, stats);
  const std::size_t size = stats.size() / c.V;
  for (int v = 0; v < c.V; ++v)
    all.stats.push_back(stats_of(std::span(stats).subspan(v * size, size), c.E));
  std::int64_t rows[] = {mine.sent_rows, mine.received_rows};
  all_reduce_sum(comm, rows);
  all.sent_rows = rows[0], all.received_rows = rows[1];
  all.multiply_adds = mine.multiply_adds;
  return all;
}

template <class Layer, class In>
LayerOutputs run(const Comm& comm, const LayerCase& c, const LayerInputs& in,
                 const RowTransport::Options& options) {
  const Layout layout(c.V, comm.size(), c.G, c.E);
  PhaseTimer timer;
  Work work;
  const RowTransport transport(comm, layout, options);
  StepContext context{comm,   transport, layout, layer_seed,   c.step,
                      c.mode, timer,     work,   c.micro_steps};
  LayerParams params = make_params(c, in, layout, comm.rank());
  const Layer layer(layer_config(c), params.indices);

  const std::int64_t first = context.hosted().first.value * c.N;
  const std::int64_t rows = context.hosted().size() * c.N;
  const Tokens tokens{c.N,
                      std::span(in.index).subspan(first, rows),
                      std::span(in.real).subspan(first, rows),
                      std::count(in.real.begin(), in.real.end(), 1),
                      c.N / c.rows,
                      std::span(in.ids).subspan(first, rows)};
  const Converted<In, float> x(View<const float>(&in.x[first * c.D], rows, c.D));
  const View<const float> dy(&in.dy[first * c.D], rows, c.D);
  auto y = Tensor<float>::uninitialized(rows, c.D), dx = Tensor<float>::uninitialized(rows, c.D);
  std::fill_n(y.data(), y.size(), 1e30f);  // both have to be overwritten
  std::fill_n(dx.data(), dx.size(), 1e30f);
  auto saved = layer.forward(context, params.set, tokens, x.view(), y.view());
  if (c.repeats) {
    saved.keep_decisions();
    std::fill_n(y.data(), y.size(), 1e30f);
    layer.repeat(context, params.set, tokens, x.view(), y.view(), saved);
  }
  layer.backward(context, params.set, tokens, saved, x.view(), dy, dx.view());

  LayerOutputs out;
  append(out.y, y.flat());
  append(out.dx, dx.flat());
  collect_leaves(params, out);
  collect_decisions(saved, out);
  out.sent_rows = std::ssize(saved.remote.plan.rows);
  for (const ExpertBatch& batch : saved.remote.exchange.batches()) out.received_rows += batch.rows;
  out.multiply_adds = work.multiply_adds;
  return gather_outputs(comm, c, std::move(out));
}

bool is_padding(const LayerCase& c, std::int64_t i) {
  const bool last_row = c.rows > 1 && i / (c.N / c.rows) == c.V * c.rows - 1;
  return i / c.N == 1 || i % 5 == 4 || last_row;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(a, b, [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}

}  // namespace

SparseLayerConfig layer_config(const LayerCase& c) {
  SparseLayerConfig config{c.moe, c.method, c.balance_weight, c.z_weight, c.activation, c.layer};
  config.moe.num_experts = c.E;
  return config;
}

std::int64_t router_columns(const LayerCase& c) {
  return c.method == RoutingMethod::soft
             ? c.E * soft_slots(c.N / c.rows, c.moe.capacity_factor, c.E)
             : c.E;
}

std::int64_t group_capacity(const LayerCase& c) {
  const bool training = c.mode == Mode::train;
  if (training ? c.moe.dropless : c.moe.eval_dropless) return c.N;
  const double factor = training ? c.moe.capacity_factor : c.moe.eval_capacity_factor;
  const auto fair = static_cast<std::int64_t>(static_cast<double>(c.N) * factor / c.E);
  return std::max<std::int64_t>(std::min(c.N, fair), c.moe.min_capacity);
}

LayerInputs make_inputs(const LayerCase& c) {
  const std::int64_t tokens = c.V * c.N, kernels = c.E * c.D * c.F;
  LayerInputs in;
  in.x = uniform(1, tokens * c.D);
  in.dy = uniform(2, tokens * c.D);
  in.router = uniform(3, c.D * router_columns(c), 0.7f);
  in.wi = uniform(4, kernels, 0.5f);
  if (c.activation == Activation::gated_gelu) in.wi_1 = uniform(5, kernels, 0.5f);
  in.wo = uniform(6, kernels, 0.5f);
  in.bias = uniform(7, c.E, 0.2f);
  in.real.assign(tokens, 1);
  in.index.resize(tokens);
  std::iota(in.index.begin(), in.index.end(), std::uint64_t{1} << 33);
  for (const float u : uniform(8, tokens))
    in.ids.push_back(static_cast<std::int32_t>((u + 1) / 2 * vocabulary));
  if (c.padding)
    for (std::int64_t i = 0; i < tokens; ++i) in.real[i] = !is_padding(c, i);
  if (c.one_expert_for_all) {
    for (std::int64_t i = 0; i < tokens; ++i) in.x[i * c.D] = 1;
    in.router[c.E - 1] = 8;
  }
  return in;
}

LayerOutputs run_layer(const Comm& comm, const LayerCase& c, const LayerInputs& in,
                       const RowTransport::Options& transport) {
  if (c.method == RoutingMethod::soft)
    return c.precision == Precision::float32 ? run<SoftLayer, float>(comm, c, in, transport)
                                             : run<SoftLayer, bfloat16>(comm, c, in, transport);
  return c.precision == Precision::float32 ? run<SwitchLayer, float>(comm, c, in, transport)
                                           : run<SwitchLayer, bfloat16>(comm, c, in, transport);
}

reference::SwitchProblem reference_problem(const LayerCase& c, const LayerInputs& in) {
  reference::SwitchProblem p;
  p.V = c.V, p.N = c.N, p.D = c.D, p.F = c.F, p.E = c.E;
  p.capacity = group_capacity(c);
  p.gated = c.activation == Activation::gated_gelu;
  p.aux_coef = c.balance_weight, p.z_coef = c.z_weight;
  p.real = in.real;
  p.x = widened(in.x), p.dy = widened(in.dy), p.router = widened(in.router);
  p.wi = widened(in.wi), p.wi_1 = widened(in.wi_1), p.wo = widened(in.wo);
  if (c.mode == Mode::evaluate) return p;
  if (c.moe.jitter_eps > 0) {
    const RandomStream stream(layer_seed, Purpose::router_jitter, c.layer, c.step);
    for (std::int64_t i = 0; i < c.V * c.N; ++i)
      for (std::int64_t d = 0; d < c.D; ++d)
        p.jitter.push_back(1 + c.moe.jitter_eps *
                                   (2 * unit_float(stream.block(in.index[i], d / 4)[d % 4]) - 1));
  }
  if (const float rate = c.moe.expert_dropout_rate; rate > 0) {
    const RandomStream stream(layer_seed, Purpose::hidden_dropout, c.layer, c.step);
    for (std::int64_t i = 0; i < c.V * c.N; ++i)
      for (std::int64_t f = 0; f < c.F; ++f)
        p.hidden_mask.push_back(
            unit_float(stream.block(in.index[i], f / 4)[f % 4]) < rate ? 0.0 : 1.0 / (1.0 - rate));
  }
  return p;
}

std::vector<double> numbers(const RoutingStats& s) {
  std::vector<double> all;
  for (const std::int64_t count :
       {s.groups, s.real_tokens, s.wanted, s.dropped, s.computed, s.places})
    all.push_back(static_cast<double>(count));
  append(all, std::vector{s.balance_sum, s.z_sum, s.confidence_sum, s.entropy_sum});
  append(all, s.tokens_per_expert);
  return all;
}

std::string difference(const LayerOutputs& a, const LayerOutputs& b) {
  if (!same_bits(a.y, b.y)) return "y";
  if (!same_bits(a.dx, b.dx)) return "dx";
  if (!same_bits(a.router_leaves, b.router_leaves)) return "router's leaves";
  if (!same_bits(a.expert_leaves, b.expert_leaves)) return "experts' leaves";
  if (a.expert != b.expert || a.fate != b.fate || !same_bits(a.gate, b.gate)) return "selection";
  const auto equal = [](const RoutingStats& s, const RoutingStats& t) {
    return numbers(s) == numbers(t);
  };
  return std::ranges::equal(a.stats, b.stats, equal) ? "" : "statistics";
}

std::vector<float> sum_of_leaves(const std::vector<float>& leaves, std::int64_t count) {
  const std::size_t n = leaves.size() / count;
  std::vector<double> sum(n);
  for (std::size_t i = 0; i < leaves.size(); ++i) sum[i % n] += leaves[i];
  return {sum.begin(), sum.end()};
}

}  // namespace switchyard
