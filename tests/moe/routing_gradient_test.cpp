// The gradients of each routing method compared with central differences of the layer itself:
// through experts and gates with the router losses off, and through each loss with everything else
// off.
#include <gtest/gtest.h>

#include <cmath>

#include "moe/closeness.hpp"
#include "moe/routing_cases.hpp"
#include "moe/uniform.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

// The layer's contribution to the objective.
double objective(const LayerCase& c, const LayerInputs& in, const LayerOutputs& out) {
  double answers = 0, balance = 0, z = 0, groups = 0, real = 0;
  for (std::size_t i = 0; i < out.y.size(); ++i)
    answers += static_cast<double>(out.y[i]) * in.dy[i];
  for (const RoutingStats& stats : out.stats) {
    balance += stats.balance_sum, groups += static_cast<double>(stats.groups);
    z += stats.z_sum, real += static_cast<double>(stats.real_tokens);
  }
  return answers + c.balance_weight * balance / groups + c.z_weight * z / real;
}

bool decide_alike(const LayerOutputs& a, const LayerOutputs& b) {
  return a.expert == b.expert && a.fate == b.fate;
}

// Along some random directions in which no token changes its expert.
void expect_derivative(const LayerCase& c, const LayerInputs& in,
                       std::vector<float> LayerInputs::*input, const std::vector<float>& gradient) {
  constexpr double step = 1e-3;
  // Of the objective in f32, over the distance between two points.
  constexpr double rounding = 4e-5;
  const LayerOutputs at = run_layer(test_world(), c, in);
  const double scale = norm(widened(gradient));
  int directions = 0;
  for (std::uint64_t seed = 50; directions < 3; ++seed) {
    ASSERT_LT(seed, 100u) << "every direction changes a choice";
    const std::vector<float> direction = uniform(seed, std::ssize(gradient));
    LayerInputs above = in, below = in;
    // <gradient, way> and |way|^2, where `way` leads from below to above as rounded to f32.
    double slope = 0, width = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      (above.*input)[i] += static_cast<float>(step) * direction[i];
      (below.*input)[i] -= static_cast<float>(step) * direction[i];
      const double way = static_cast<double>((above.*input)[i]) - (below.*input)[i];
      slope += gradient[i] * way;
      width += way * way;
    }
    const LayerOutputs up = run_layer(test_world(), c, above);
    const LayerOutputs down = run_layer(test_world(), c, below);
    if (!decide_alike(at, up) || !decide_alike(at, down)) continue;
    ++directions;
    const double rise = objective(c, above, up) - objective(c, below, down);
    EXPECT_NEAR(rise / std::sqrt(width), slope / std::sqrt(width), 1e-3 * scale + rounding)
        << "direction " << seed;
  }
}

void expect_gradients(const LayerCase& c, const LayerInputs& in) {
  const LayerOutputs out = run_layer(test_world(), c, in);
  {
    SCOPED_TRACE("x");
    expect_derivative(c, in, &LayerInputs::x, out.dx);
  }
  if (out.router_leaves.empty()) return;
  SCOPED_TRACE("router");
  const std::vector<float> d_router = sum_of_leaves(out.router_leaves, c.V);
  expect_derivative(c, in, &LayerInputs::router, d_router);
}

LayerCase small_and_smooth(LayerCase c) {
  c.V = 2, c.G = 1, c.N = 12;
  c.activation = Activation::gated_gelu;
  return c;
}

class RoutingGradient : public testing::TestWithParam<RoutingCase> {};

TEST_P(RoutingGradient, IsTheCentralDifferenceThroughExpertsAndGates) {
  LayerCase c = small_and_smooth(GetParam().layer);
  c.balance_weight = c.z_weight = 0;
  expect_gradients(c, make_inputs(c));
}

// With the experts' outputs left out of the objective.
void expect_loss_gradients(const LayerCase& c) {
  LayerInputs in = make_inputs(c);
  std::fill(in.dy.begin(), in.dy.end(), 0.0f);
  expect_gradients(c, in);
}

TEST_P(RoutingGradient, IsTheCentralDifferenceThroughTheBalanceLoss) {
  LayerCase c = small_and_smooth(GetParam().layer);
  if (!has_router(c.method) || c.method == RoutingMethod::soft) return;  // they have no such loss
  c.balance_weight = 1, c.z_weight = 0;
  expect_loss_gradients(c);
}

TEST_P(RoutingGradient, IsTheCentralDifferenceThroughTheZLoss) {
  LayerCase c = small_and_smooth(GetParam().layer);
  if (!has_router(c.method)) return;
  c.balance_weight = 0, c.z_weight = 1;
  expect_loss_gradients(c);
}

INSTANTIATE_TEST_SUITE_P(Layers, RoutingGradient, testing::ValuesIn(routing_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace switchyard
