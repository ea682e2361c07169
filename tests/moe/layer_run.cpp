#include "moe/layer_run.hpp"

#include <algorithm>
#include <numeric>

#include "moe/uniform.hpp"

namespace switchyard {
namespace {

template <class T>
std::vector<T> gather(const Comm& comm, const std::vector<T>& mine) {
  return all_gather_v<T>(comm, mine);
}

void append(std::vector<float>& to, View<const float> from) {
  to.insert(to.end(), from.flat().begin(), from.flat().end());
}

// The parameters of one layer that a process holds, with the inputs' values.
struct LayerParams {
  ParamSet set;
  SwitchLayerParams indices;
};

LayerParams make_params(const LayerCase& c, const LayerInputs& in, const Layout& layout,
                        Rank self) {
  const bool gated = c.activation == Activation::gated_gelu;
  std::vector<ParamSpec> specs{{"router", "router", c.D, c.E, {}, {}}};
  SwitchLayerParams indices;
  for (const ExpertId e : layout.owned_experts(self)) {
    ExpertParams expert;
    expert.wi = specs.size();
    specs.push_back({"wi", "wi", c.D, c.F, e, {}});
    if (gated) {
      expert.wi_1 = specs.size();
      specs.push_back({"wi_1", "wi_1", c.D, c.F, e, {}});
    }
    expert.wo = specs.size();
    specs.push_back({"wo", "wo", c.F, c.D, e, {}});
    indices.experts.push_back(expert);
  }
  ParamSet set(std::move(specs), static_cast<int>(layout.hosted(self).size()),
               static_cast<int>(layout.groups_of(self).size()), layer_seed);
  std::copy(in.router.begin(), in.router.end(), set[0].value.data);
  const std::int64_t kernel = c.D * c.F;
  for (std::size_t i = 0; i < indices.experts.size(); ++i) {
    const std::int64_t e = layout.owned_experts(self).first.value + i;
    std::copy_n(&in.wi[e * kernel], kernel, set[indices.experts[i].wi].value.data);
    if (gated) std::copy_n(&in.wi_1[e * kernel], kernel, set[indices.experts[i].wi_1].value.data);
    std::copy_n(&in.wo[e * kernel], kernel, set[indices.experts[i].wo].value.data);
  }
  return {std::move(set), std::move(indices)};
}

// Every gradient leaf of this process, experts group by group.
void collect_leaves(const LayerParams& params, LayerOutputs& out) {
  const ParamSet& set = params.set;
  for (const View<float>& leaf : set[params.indices.router].leaves) append(out.router_leaves, leaf);
  if (params.indices.experts.empty()) return;
  for (std::size_t g = 0; g < set[params.indices.experts[0].wi].leaves.size(); ++g)
    for (const ExpertParams& expert : params.indices.experts) {
      append(out.expert_leaves, set[expert.wi].leaves[g]);
      if (expert.wi_1 != 0) append(out.expert_leaves, set[expert.wi_1].leaves[g]);
      append(out.expert_leaves, set[expert.wo].leaves[g]);
    }
}

}  // namespace

LayerInputs make_inputs(const LayerCase& c) {
  const std::int64_t tokens = c.V * c.N, kernels = c.E * c.D * c.F;
  LayerInputs in;
  in.x = uniform(1, tokens * c.D);
  in.dy = uniform(2, tokens * c.D);
  in.router = uniform(3, c.D * c.E, 0.7f);
  in.wi = uniform(4, kernels, 0.5f);
  if (c.activation == Activation::gated_gelu) in.wi_1 = uniform(5, kernels, 0.5f);
  in.wo = uniform(6, kernels, 0.5f);
  in.real.assign(tokens, 1);
  in.index.resize(tokens);
  std::iota(in.index.begin(), in.index.end(), std::uint64_t{1} << 33);
  if (c.padding)
    for (std::int64_t i = 0; i < tokens; ++i)
      if (i / c.N == 1 || i % 5 == 4) in.real[i] = 0;
  if (c.one_expert_for_all) {
    for (std::int64_t i = 0; i < tokens; ++i) in.x[i * c.D] = 1;
    in.router[c.E - 1] = 8;
  }
  return in;
}

LayerOutputs run_layer(const Comm& comm, const LayerCase& c, const LayerInputs& in) {
  const Layout layout(c.V, comm.size(), c.G, c.E);
  PhaseTimer timer;
  Work work;
  StepContext context{comm, layout, layer_seed, layer_step, c.mode, timer, work};
  LayerParams params = make_params(c, in, layout, comm.rank());
  MoeConfig moe = c.moe;
  moe.num_experts = c.E;
  const SwitchLayer layer(moe, c.activation, c.hidden_dropout, layer_number, params.indices);

  const std::int64_t first = context.hosted().first.value * c.N;
  const std::int64_t rows = context.hosted().size() * c.N;
  const Tokens tokens{c.N, std::span(in.index).subspan(first, rows),
                      std::span(in.real).subspan(first, rows),
                      std::count(in.real.begin(), in.real.end(), 1)};
  const View<const float> x(&in.x[first * c.D], rows, c.D), dy(&in.dy[first * c.D], rows, c.D);
  auto y = Tensor<float>::uninitialized(rows, c.D), dx = Tensor<float>::uninitialized(rows, c.D);
  std::fill_n(y.data(), y.size(), 1e30f);  // both have to be written
  std::fill_n(dx.data(), dx.size(), 1e30f);
  const SwitchLayerSaved saved = layer.forward(context, params.set, tokens, x, y.view());
  layer.backward(context, params.set, tokens, saved, x, dy, dx.view());

  LayerOutputs out;
  append(out.y, y.view());
  append(out.dx, dx.view());
  collect_leaves(params, out);
  for (const Routing& routing : saved.routings) {
    out.dropped.push_back(routing.stats.dropped_tokens);
    out.balance.push_back(routing.stats.balance_loss);
    out.z_sum.push_back(routing.stats.z_sum);
  }
  return {gather(comm, out.y),
          gather(comm, out.dx),
          gather(comm, out.router_leaves),
          gather(comm, out.expert_leaves),
          gather(comm, out.dropped),
          gather(comm, out.balance),
          gather(comm, out.z_sum),
          work.multiply_adds};
}

reference::SwitchProblem reference_problem(const LayerCase& c, const LayerInputs& in) {
  reference::SwitchProblem p;
  p.V = c.V, p.N = c.N, p.D = c.D, p.F = c.F, p.E = c.E;
  const bool training = c.mode == Mode::train;
  const bool dropless = training ? c.moe.dropless : c.moe.eval_dropless;
  const double factor = training ? c.moe.capacity_factor : c.moe.eval_capacity_factor;
  p.capacity =
      dropless ? c.N
               : std::max<std::int64_t>(
                     std::min<std::int64_t>(
                         c.N, static_cast<std::int64_t>(static_cast<double>(c.N) * factor / c.E)),
                     c.moe.min_capacity);
  p.gated = c.activation == Activation::gated_gelu;
  p.aux_coef = c.moe.aux_loss_coef, p.z_coef = c.moe.z_loss_coef;
  p.real = in.real;
  p.x = widened(in.x), p.dy = widened(in.dy), p.router = widened(in.router);
  p.wi = widened(in.wi), p.wi_1 = widened(in.wi_1), p.wo = widened(in.wo);
  if (training && c.moe.jitter_eps > 0) {
    const RandomStream stream(layer_seed, Purpose::router_jitter, layer_number, layer_step);
    for (std::int64_t i = 0; i < c.V * c.N; ++i)
      for (std::int64_t d = 0; d < c.D; ++d)
        p.jitter.push_back(1 + c.moe.jitter_eps *
                                   (2 * unit_float(stream.block(in.index[i], d / 4)[d % 4]) - 1));
  }
  if (training && c.hidden_dropout > 0) {
    const RandomStream stream(layer_seed, Purpose::hidden_dropout, layer_number, layer_step);
    for (std::int64_t i = 0; i < c.V * c.N; ++i)
      for (std::int64_t f = 0; f < c.F; ++f)
        p.hidden_mask.push_back(unit_float(stream.block(in.index[i], f / 4)[f % 4]) <
                                        c.hidden_dropout
                                    ? 0.0
                                    : 1.0 / (1.0 - c.hidden_dropout));
  }
  return p;
}

}  // namespace switchyard
