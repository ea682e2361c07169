// Tests of the reference itself: on the worked example, and each gradient against central
// differences.
#include "support/switch_reference.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "moe/switch_vector.hpp"
#include "moe/uniform.hpp"

namespace switchyard {
namespace {

using reference::SwitchProblem;
using reference::SwitchResult;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::Pointwise;

TEST(SwitchReference, GivesTheWorkedOutLayer) {
  const SwitchResult r = reference::switch_layer(vector_problem());
  EXPECT_THAT(r.expert, ElementsAre(0, 0, 0, 1, 2, 0));
  EXPECT_THAT(r.slot, ElementsAre(0, 1, 2, 0, 0, 3));
  EXPECT_THAT(r.gate,
              Pointwise(DoubleNear(1e-7), std::vector<double>{.6540715, .5874483, .6251292,
                                                              .6911718, .6062892, .6880118}));
  EXPECT_EQ(r.dropped, 2);
  EXPECT_THAT(r.y, Pointwise(DoubleNear(1e-7), vector_y));
  EXPECT_THAT(r.d_router, Pointwise(DoubleNear(1e-7), vector_d_router));
  EXPECT_THAT(r.dx, Pointwise(DoubleNear(1e-7), vector_dx));
  EXPECT_NEAR(r.aux, vector_aux, 1e-7);
  EXPECT_NEAR(r.z, vector_z, 1e-7);
  EXPECT_NEAR(r.loss, vector_loss, 1e-7);
}

SwitchProblem random_problem(bool gated) {
  SwitchProblem p;
  p.V = 2, p.N = 9, p.D = 4, p.F = 5, p.E = 3, p.capacity = 3;
  p.gated = gated;
  p.aux_coef = 0.3, p.z_coef = 0.2;
  p.real.assign(p.V * p.N, 1);
  p.real[2] = p.real[16] = p.real[17] = 0;
  p.x = widened(uniform(1, p.V * p.N * p.D));
  p.dy = widened(uniform(2, p.V * p.N * p.D));
  p.router = widened(uniform(3, p.D * p.E));
  p.wi = widened(uniform(4, p.E * p.D * p.F));
  if (gated) p.wi_1 = widened(uniform(5, p.E * p.D * p.F));
  p.wo = widened(uniform(6, p.E * p.F * p.D));
  p.jitter = widened(uniform(7, p.V * p.N * p.D, 0.1f));
  for (double& u : p.jitter) u += 1;
  p.hidden_mask = widened(uniform(8, p.V * p.N * p.F));
  return p;
}

void expect_derivative(SwitchProblem& p, std::vector<double>& input,
                       const std::vector<double>& gradient) {
  ASSERT_EQ(input.size(), gradient.size());
  constexpr double step = 1e-5;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const double at = input[i];
    input[i] = at + step;
    const double above = reference::switch_layer(p).loss;
    input[i] = at - step;
    const double below = reference::switch_layer(p).loss;
    input[i] = at;
    EXPECT_NEAR((above - below) / (2 * step), gradient[i], 1e-7) << "element " << i;
  }
}

class SwitchReferenceGradient : public testing::TestWithParam<bool> {};

TEST_P(SwitchReferenceGradient, IsTheCentralDifference) {
  SwitchProblem p = random_problem(GetParam());
  const SwitchResult r = reference::switch_layer(p);
  ASSERT_GT(r.dropped, 0);
  expect_derivative(p, p.x, r.dx);
  expect_derivative(p, p.router, r.d_router);
  expect_derivative(p, p.wi, r.d_wi);
  expect_derivative(p, p.wi_1, r.d_wi_1);
  expect_derivative(p, p.wo, r.d_wo);
}

INSTANTIATE_TEST_SUITE_P(Activations, SwitchReferenceGradient, testing::Bool(),
                         [](const auto& info) { return info.param ? "GatedGelu" : "Relu"; });

}  // namespace
}  // namespace switchyard
