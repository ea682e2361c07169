// Routing: the router of a group of tokens, the choice, its losses and their backward; then the
// dispatch plan.
#include "moe/routing.hpp"

#include <algorithm>
#include <limits>

#include "kernels.hpp"
#include "moe/capacity.hpp"
#include "moe/dispatch_plan.hpp"

namespace switchyard::bench {
namespace {

constexpr RouterLossScale loss_scale{0.5, 1e-4f};

// One group of N tokens, some of them padding, and E experts.
struct Group {
  Tensor<float> x, weights;
  std::vector<std::uint8_t> real;
  Work work;
  std::int64_t capacity;

  Group(const LayerShape& shape, std::uint64_t seed)
      : x(random_tensor(shape.tokens(), shape.D, seed)),
        weights(random_tensor(shape.D, shape.E, seed + 1)),
        capacity(expert_capacity(shape.tokens(), 1.25, shape.E, 4)) {
    for (std::int64_t t = 0; t < shape.tokens(); ++t) real.push_back(t % 31 != 7);
    for (float& w : weights.flat()) w *= 0.1f;
  }

  RoutingInput input() const {
    RoutingInput input;
    input.router.x = x.view();
    input.router.weights = weights.view();
    input.real = real;
    input.choice.capacity = capacity;
    return input;
  }
  Routing routed() { return route(work, input(), weights.cols()); }
};

// Plain f64: the probabilities of a token, and the log of their normaliser.
struct Softmax {
  reference::Doubles p;
  double log_normalizer;
};

Softmax softmax_of_token(const Group& g, const reference::Doubles& x, std::int64_t t) {
  const std::int64_t D = g.weights.rows(), E = g.weights.cols();
  Softmax s{reference::Doubles(static_cast<std::size_t>(E), 0.0), 0};
  double sum = 0;
  for (std::int64_t e = 0; e < E; ++e) {
    double& logit = s.p[static_cast<std::size_t>(e)];
    for (std::int64_t d = 0; d < D; ++d)
      logit += x[static_cast<std::size_t>(t * D + d)] * static_cast<double>(g.weights.view()(d, e));
    sum += std::exp(logit);
  }
  s.log_normalizer = std::log(sum);
  for (double& p : s.p) p = std::exp(p) / sum;
  return s;
}

// The largest error of a gate; infinite where a choice or a fate violates the rule. Of experts
// whose probabilities differ by less than rounding, either may be chosen.
double routing_error(const Group& g, const Selection& s) {
  constexpr double wrong = std::numeric_limits<double>::infinity();
  const auto x = as_doubles(g.x.flat());
  std::vector<std::int64_t> taken(static_cast<std::size_t>(g.weights.cols()));
  double worst = 0;
  for (std::size_t t = 0; t < g.real.size(); ++t) {
    const std::int32_t e = s.expert[t];
    if (!g.real[t]) {
      if (e != -1 || s.fate[t] != Fate::none) return wrong;
      continue;
    }
    if (e < 0 || e >= g.weights.cols()) return wrong;
    const Softmax expected = softmax_of_token(g, x, static_cast<std::int64_t>(t));
    const double best = *std::max_element(expected.p.begin(), expected.p.end());
    worst = std::max({worst, best - expected.p[static_cast<std::size_t>(e)],
                      std::abs(best - static_cast<double>(s.weight[t]))});
    const bool fits = taken[static_cast<std::size_t>(e)]++ < g.capacity;
    if (s.fate[t] != (fits ? Fate::kept : Fate::dropped)) return wrong;
  }
  return worst;
}

void router(benchmark::State& state, const LayerShape& shape) {
  Group g(shape, 1);
  if (!verified(state, "the choice", routing_error(g, g.routed().selection), 1e-5)) return;
  time(state, Amount::operations, 2 * g.x.size() * shape.E,
       [&] { benchmark::DoNotOptimize(g.routed()); });
}

// The function whose gradient route_backward computes; choices and fractions of the experts are
// constants.
double router_loss(const Group& g, const Routing& routing, std::span<const float> d_weight,
                   const reference::Doubles& x) {
  const LoadBalance& balance = routing.balance;
  double loss = 0;
  for (std::int64_t t = 0; t < g.x.rows(); ++t) {
    const auto i = static_cast<std::size_t>(t);
    if (!g.real[i]) continue;
    const Softmax s = softmax_of_token(g, x, t);
    const auto chosen = static_cast<std::size_t>(routing.selection.expert[i]);
    loss += static_cast<double>(d_weight[i]) * s.p[chosen];
    loss += static_cast<double>(loss_scale.z) * s.log_normalizer * s.log_normalizer;
    for (std::size_t e = 0; e < s.p.size(); ++e)
      loss += loss_scale.balance * static_cast<double>(s.p.size()) * s.p[e] *
              static_cast<double>(balance.chosen[e]) / static_cast<double>(balance.choices) /
              static_cast<double>(balance.real_tokens);
  }
  return loss;
}

void router_gradient(benchmark::State& state, const LayerShape& shape) {
  Group g(shape, 1);
  const Routing routing = g.routed();
  Tensor<float> d_weight = random_tensor(1, shape.tokens(), 3);
  for (std::int64_t t = 0; t < shape.tokens(); ++t)
    if (routing.selection.fate[static_cast<std::size_t>(t)] != Fate::kept) d_weight.data()[t] = 0;
  auto d_router = Tensor<float>::zeros(shape.D, shape.E),
       dx = Tensor<float>::zeros(shape.tokens(), shape.D);
  const auto run = [&] {
    route_backward(g.work, g.input(), routing, d_weight.flat(), loss_scale,
                   {d_router.view(), dx.view()});
  };
  run();
  const double error =
      gradient_error(as_doubles(g.x.flat()), as_doubles(dx.flat()),
                     [&](const auto& x) { return router_loss(g, routing, d_weight.flat(), x); });
  if (!verified(state, "dx", error, 1e-4)) return;
  time(state, Amount::operations, 4 * g.x.size() * shape.E, run);
}

// For two virtual ranks on one process.
void plan(benchmark::State& state, const LayerShape& shape) {
  const Layout layout(2, 1, 1, static_cast<int>(shape.E));
  const Routing first = Group(shape, 1).routed(), second = Group(shape, 5).routed();
  const std::vector<const Selection*> selections = {&first.selection, &second.selection};
  std::vector<std::int64_t> expected;
  for (std::int32_t e = 0; e < shape.E; ++e)
    for (std::int64_t row = 0; row < 2 * shape.tokens(); ++row) {
      const Selection& s = *selections[static_cast<std::size_t>(row / shape.tokens())];
      const auto t = static_cast<std::size_t>(row % shape.tokens());
      if (s.expert[t] == e && s.fate[t] == Fate::kept) expected.push_back(row);
    }
  const bool same = plan_dispatch(layout, Rank(0), selections).rows == expected;
  if (!verified(state, "the order of rows", same ? 0 : 1, 0)) return;
  // Expert, weight and fate of each token; its row and position.
  time(state, Amount::bytes, 2 * shape.tokens() * (4 + 4 + 1 + 8 + 8),
       [&] { benchmark::DoNotOptimize(plan_dispatch(layout, Rank(0), selections)); });
}

}  // namespace

void register_routing(const LayerShape& shape) {
  add_benchmark("router/forward", shape, [=](auto& state) { router(state, shape); });
  add_benchmark("router/backward", shape, [=](auto& state) { router_gradient(state, shape); });
  add_benchmark("dispatch_plan", shape, [=](auto& state) { plan(state, shape); });
}

}  // namespace switchyard::bench
