#include "moe/mlp.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

#include "moe/uniform.hpp"
#include "support/switch_reference.hpp"

namespace switchyard {
namespace {

using testing::Each;

struct Mlp {
  std::int64_t rows, D = 12, F = 20;
  Activation activation;
  float rate = 0;
  std::vector<float> x = uniform(1, rows*D), dy = uniform(2, rows*D);
  std::vector<float> wi = uniform(3, D*F), wi_1 = uniform(4, D*F), wo = uniform(5, F*D);
  std::vector<float> y = std::vector<float>(rows * D), dx = y;
  std::vector<float> d_wi = std::vector<float>(D * F), d_wi_1 = d_wi, d_wo = d_wi;
  std::vector<std::uint64_t> index = std::vector<std::uint64_t>(rows);
  RandomStream stream{9, Purpose::hidden_dropout, 2, 5};

  Mlp(std::int64_t n, Activation a) : rows(n), activation(a) {
    std::iota(index.begin(), index.end(), 1000);
  }
  void run() {
    const MlpWeights weights{{wi.data(), D, F}, {wi_1.data(), D, F}, {wo.data(), F, D}};
    const HiddenDropout dropout{rate, stream, index};
    const View<const float> in(x.data(), rows, D), upstream(dy.data(), rows, D);
    Work work;
    MlpSaved<float> saved(rows, F, activation), room(rows, F, activation);
    mlp_forward<float, float>(work, in, weights, activation, dropout, saved.row_range(0, rows),
                              {y.data(), rows, D});
    GradientLeaf leaf_wi({d_wi.data(), D, F}), leaf_wi_1({d_wi_1.data(), D, F}),
        leaf_wo({d_wo.data(), F, D});
    mlp_backward<float>(work, std::as_const(saved).row_range(0, rows), in, weights, activation,
                        dropout, {upstream, {dx.data(), rows, D}, room.row_range(0, rows)},
                        {&leaf_wi, &leaf_wi_1, &leaf_wo});
  }
  // A single expert with capacity for all tokens and gate 1 computes the same products.
  reference::SwitchProblem problem() const {
    reference::SwitchProblem p;
    p.N = p.capacity = rows, p.D = D, p.F = F, p.E = 1;
    p.gated = activation == Activation::gated_gelu;
    p.real.assign(rows, 1);
    p.x = widened(x), p.dy = widened(dy);
    p.router.assign(D, 0.0);
    p.wi = widened(wi), p.wi_1 = widened(wi_1), p.wo = widened(wo);
    for (std::int64_t r = 0; r < rows && rate > 0; ++r)
      for (std::int64_t f = 0; f < F; ++f)
        p.hidden_mask.push_back(
            unit_float(stream.block(index[r], f / 4)[f % 4]) < rate ? 0.0 : 1.0 / (1.0 - rate));
    return p;
  }
};

void expect_close(const std::vector<float>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  EXPECT_LE(std::sqrt(error), 1e-5 * std::sqrt(norm));
}

void expect_reference(Mlp& mlp) {
  mlp.run();
  const auto want = reference::switch_layer(mlp.problem());
  expect_close(mlp.y, want.y);
  expect_close(mlp.dx, want.dx);
  expect_close(mlp.d_wi, want.d_wi);
  expect_close(mlp.d_wi_1, want.d_wi_1);
  expect_close(mlp.d_wo, want.d_wo);
}

TEST(Mlp, AgreesWithPlainDoublePrecision) {
  for (const Activation activation : {Activation::relu, Activation::gated_gelu}) {
    Mlp mlp(17, activation);
    expect_reference(mlp);
  }
}

TEST(Mlp, DropsTheSameHiddenUnitsForwardAndBackward) {
  for (const Activation activation : {Activation::relu, Activation::gated_gelu}) {
    Mlp mlp(17, activation);
    mlp.rate = 0.4f;
    expect_reference(mlp);
  }
}

TEST(Mlp, AddsToGradients) {
  Mlp once(9, Activation::relu), twice(9, Activation::relu);
  once.run();
  twice.run();
  twice.run();
  for (std::size_t i = 0; i < once.d_wi.size(); ++i)
    EXPECT_NEAR(twice.d_wi[i], 2 * once.d_wi[i], 1e-5);
}

TEST(Mlp, LeavesGradientsAloneWithoutRows) {
  for (const Activation activation : {Activation::relu, Activation::gated_gelu}) {
    Mlp mlp(0, activation);
    mlp.run();
    EXPECT_THAT(mlp.d_wi, Each(0.0f));
    EXPECT_THAT(mlp.d_wi_1, Each(0.0f));
    EXPECT_THAT(mlp.d_wo, Each(0.0f));
  }
}

}  // namespace
}  // namespace switchyard
