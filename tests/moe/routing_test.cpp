#include "moe/routing.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

#include "moe/uniform.hpp"

namespace switchyard {
namespace {

using testing::Each;
using testing::ElementsAre;

// One routing group: N tokens with D elements each, E experts.
struct Group {
  std::int64_t N, D, E;
  std::vector<float> x = uniform(1, N*D), weights = uniform(2, D*E);
  std::vector<std::uint8_t> real = std::vector<std::uint8_t>(N, 1);
  std::vector<std::uint64_t> index = std::vector<std::uint64_t>(N);
  float eps = 0;
  Precision precision = Precision::float32;

  Group(std::int64_t n, std::int64_t d, std::int64_t e) : N(n), D(d), E(e) {
    std::iota(index.begin(), index.end(), 100);
  }
  RoutingInput input() const {
    RoutingInput input;
    input.router = {{x.data(), N, D}, {weights.data(), D, E}, std::nullopt, precision};
    if (eps > 0)
      input.router.perturbation = Perturbation{
          Perturbation::Kind::jitter, eps, RandomStream(7, Purpose::router_jitter, 0, 3), index};
    input.real = real;
    input.choice.capacity = N;
    return input;
  }
};

Routing route(Work& work, const Group& group) { return route(work, group.input(), group.E); }

struct Gradients {
  std::vector<float> weights, x;
};

Gradients backward(const Group& group, const Routing& routing, const std::vector<float>& d_gate,
                   RouterLossScale scale) {
  Gradients g{std::vector<float>(group.D * group.E), std::vector<float>(group.N * group.D)};
  Work work;
  route_backward(work, group.input(), routing, d_gate, scale,
                 {{g.weights.data(), group.D, group.E}, {g.x.data(), group.N, group.D}});
  return g;
}

MATCHER(IsFinite, "") { return std::isfinite(arg); }
MATCHER(IsZero, "") { return arg == 0; }

TEST(Router, GivesEachTokenItsLargestProbability) {
  const Group group(40, 16, 11);
  Work work;
  const Routing routing = route(work, group);
  for (std::int64_t t = 0; t < group.N; ++t) {
    const float* p = routing.probabilities.p.view().row(t);
    EXPECT_NEAR(std::accumulate(p, p + group.E, 0.0), 1.0, 1e-6);
    EXPECT_EQ(routing.selection.expert[t], std::max_element(p, p + group.E) - p);
    EXPECT_EQ(routing.selection.weight[t], p[routing.selection.expert[t]]);
  }
}

TEST(Router, BalancesByForceWithTheRoutersOwnGates) {
  const Group group(23, 8, 5);
  RoutingInput input = group.input();
  input.force_load_balancing = true;
  for (const std::int64_t choices : {1, 3}) {
    input.choice.choices = choices;
    Work work;
    const Routing routing = route(work, input, group.E);
    const View<const float> p = routing.probabilities.p.view();
    for (std::int64_t t = 0; t < group.N; ++t) {
      for (std::int64_t j = 0; j < choices; ++j) {
        const std::int64_t expert = (t + j) % group.E;
        EXPECT_EQ(routing.selection.expert[j * group.N + t], expert);
        EXPECT_EQ(routing.selection.weight[j * group.N + t], p.row(t)[expert]);
      }
    }
  }
}

TEST(Router, BreaksTiesTowardsTheLowestExpert) {
  Group group(5, 4, 6);
  std::fill(group.weights.begin(), group.weights.end(), 0.0f);
  Work work;
  const Routing routing = route(work, group);
  EXPECT_THAT(routing.selection.expert, Each(0));
  EXPECT_NEAR(routing.stats.balance_sum, 1.0, 1e-6);  // P is uniform whatever f is
}

TEST(Router, ChoosesExpertZeroForATokenThatIsNotANumber) {
  Group group(4, 4, 3);
  group.x[1 * 4 + 2] = std::numeric_limits<float>::quiet_NaN();
  group.x[2 * 4 + 1] = std::numeric_limits<float>::infinity();
  Work work;
  const Routing routing = route(work, group);
  EXPECT_EQ(routing.selection.expert[1], 0);
  EXPECT_EQ(routing.selection.expert[2], 0);
  EXPECT_TRUE(std::isnan(routing.selection.weight[1]));
  EXPECT_TRUE(std::isnan(routing.stats.z_sum));
  EXPECT_TRUE(std::isfinite(routing.selection.weight[3]));
}

TEST(Router, LeavesPaddingOutOfEveryStatistic) {
  Group padded(24, 8, 4), alone(12, 8, 4);
  for (std::int64_t t = 0; t < 24; ++t) padded.real[t] = t % 2;
  for (std::int64_t t = 0; t < 12; ++t) std::copy_n(&padded.x[(2 * t + 1) * 8], 8, &alone.x[t * 8]);
  Work work;
  const RoutingStats a = route(work, padded).stats, b = route(work, alone).stats;
  EXPECT_EQ(a.real_tokens, 12);
  EXPECT_EQ(a.tokens_per_expert, b.tokens_per_expert);
  EXPECT_NEAR(a.balance_sum, b.balance_sum, 1e-6);
  EXPECT_NEAR(a.z_sum, b.z_sum, 1e-5);
  EXPECT_NEAR(a.confidence_sum, b.confidence_sum, 1e-5);
  EXPECT_NEAR(a.entropy_sum, b.entropy_sum, 1e-5);
}

TEST(Router, HasNothingToSayOfAGroupWithoutRealTokens) {
  Group group(6, 4, 3);
  group.real.assign(6, 0);
  Work work;
  const Routing routing = route(work, group);
  EXPECT_THAT(routing.selection.expert, Each(-1));
  EXPECT_EQ(routing.stats.balance_sum, 0);
  EXPECT_EQ(routing.stats.z_sum, 0);
  const Gradients g = backward(group, routing, std::vector<float>(6), {1, 1});
  EXPECT_THAT(g.weights, Each(IsZero()));
  EXPECT_THAT(g.x, Each(IsZero()));
}

TEST(Router, CountsEntropyAndConfidence) {
  const Group group(30, 8, 5);
  Work work;
  const Routing routing = route(work, group);
  double entropy = 0, confidence = 0;
  for (std::int64_t t = 0; t < group.N; ++t) {
    confidence += routing.selection.weight[t];
    for (std::int64_t e = 0; e < group.E; ++e) {
      const double p = routing.probabilities.p.view()(t, e);
      entropy -= p * std::log(p);
    }
  }
  EXPECT_NEAR(routing.stats.entropy_sum, entropy, 1e-4);
  EXPECT_NEAR(routing.stats.confidence_sum, confidence, 1e-6);
}

TEST(Router, JitterBelongsToTheTokenNotToItsPlace) {
  Group group(2, 6, 3);
  group.eps = 0.3f;
  std::copy_n(&group.x[0], 6, &group.x[6]);  // the same activations, two tokens
  Work work;
  const auto logit_gap = [&](const Routing& routing, std::int64_t t) {
    const float* p = routing.probabilities.p.view().row(t);
    return std::log(p[0] / p[1]);
  };
  const Routing one = route(work, group);
  std::swap(group.index[0], group.index[1]);
  const Routing swapped = route(work, group);
  EXPECT_NE(logit_gap(one, 0), logit_gap(one, 1));
  EXPECT_EQ(logit_gap(one, 0), logit_gap(swapped, 1));
  EXPECT_EQ(logit_gap(one, 1), logit_gap(swapped, 0));
}

TEST(Router, GetsAGradientFromTheGateOfTopOne) {
  const Group group(12, 8, 4);
  Work work;
  const Routing routing = route(work, group);
  const Gradients g = backward(group, routing, std::vector<float>(12, 1.0f), {});
  double norm = 0;
  for (const float d : g.weights) norm += d * d;
  EXPECT_GT(norm, 1e-4);
}

TEST(Router, StaysFiniteWhenRoutingIsPerfectlyBalanced) {
  Group group(4, 4, 4);  // token t is the unit vector t and prefers expert t
  for (std::int64_t i = 0; i < 16; ++i) group.x[i] = group.weights[i] = i % 5 == 0 ? 1 : 0;
  Work work;
  const Routing routing = route(work, group);
  EXPECT_THAT(routing.selection.expert, ElementsAre(0, 1, 2, 3));
  EXPECT_NEAR(routing.stats.balance_sum, 1.0, 1e-6);
  const Gradients g = backward(group, routing, std::vector<float>(4, 0.5f), {0.01f, 0.001f});
  EXPECT_THAT(g.weights, Each(IsFinite()));
  EXPECT_THAT(g.x, Each(IsFinite()));
}

// Non-zero multiples of 1/8, and values that round to them; products of the multiples have exact
// sums.
struct OnGrid {
  Group exact{40, 16, 11}, disturbed = exact;

  OnGrid() {
    disturbed.precision = Precision::bfloat16;
    disturb(exact.x, disturbed.x);
    disturb(exact.weights, disturbed.weights);
  }
  static void disturb(std::vector<float>& exact, std::vector<float>& disturbed) {
    for (std::size_t i = 0; i < exact.size(); ++i) {
      exact[i] = (std::floor(8 * exact[i]) + 0.5f) / 8;
      disturbed[i] = exact[i] + (i % 2 == 0 ? 0x1p-13f : -0x1p-13f);
    }
  }
};

TEST(Bfloat16Router, RoundsOperandsLogitsAndProbabilities) {
  const OnGrid group;
  Work work;
  const Routing routing = route(work, group.disturbed);
  const auto [N, D, E] = std::tuple(group.exact.N, group.exact.D, group.exact.E);
  for (std::int64_t t = 0; t < N; ++t) {
    std::vector<double> weight(E);
    for (std::int64_t e = 0; e < E; ++e) {
      float logit = 0;
      for (std::int64_t d = 0; d < D; ++d)
        logit += group.exact.x[t * D + d] * group.exact.weights[d * E + e];
      weight[e] = std::exp(static_cast<double>(round_to_bfloat16(logit)));
    }
    const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
    for (std::int64_t e = 0; e < E; ++e)
      EXPECT_EQ(routing.probabilities.p.view()(t, e),
                round_to_bfloat16(static_cast<float>(weight[e] / sum)));
    EXPECT_EQ(routing.selection.weight[t],
              routing.probabilities.p.view()(t, routing.selection.expert[t]));
  }
}

TEST(Bfloat16Router, ChoosesOtherwiseOnlyWhereTwoLogitsAreClose) {
  Group group(4000, 64, 8);
  Work work;
  const Routing exact = route(work, group);
  group.precision = Precision::bfloat16;
  const Routing rounded = route(work, group);
  std::int64_t flips = 0;
  for (std::int64_t t = 0; t < group.N; ++t) {
    if (exact.selection.expert[t] == rounded.selection.expert[t]) continue;
    ++flips;
    const float* p = exact.probabilities.p.view().row(t);
    const double gap = std::log(p[exact.selection.expert[t]] / p[rounded.selection.expert[t]]);
    const double largest =
        exact.probabilities.log_normalizer.data()[t] + std::log(p[exact.selection.expert[t]]);
    EXPECT_LT(gap, 0x1p-6 * std::max(1.0, largest)) << "token " << t;
  }
  EXPECT_GT(flips, 0) << "BFLOAT16 is to round something";
}

TEST(Bfloat16Router, HasTheGradientOfTheRoundedRouterAsIfNothingWereRounded) {
  OnGrid group;
  group.exact.eps = group.disturbed.eps = 0.25f;
  Work work;
  std::vector<float> d_gate = uniform(5, group.exact.N);
  const Gradients exact = backward(group.exact, route(work, group.exact), d_gate, {1, 0.1f});
  const Gradients rounded =
      backward(group.disturbed, route(work, group.disturbed), d_gate, {1, 0.1f});
  const auto relative_difference = [](const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      difference += (a[i] - b[i]) * (a[i] - b[i]);
      norm += b[i] * b[i];
    }
    return std::sqrt(difference / norm);
  };
  EXPECT_LT(relative_difference(rounded.weights, exact.weights), 0x1p-5);
  EXPECT_LT(relative_difference(rounded.x, exact.x), 0x1p-5);
  EXPECT_GT(relative_difference(rounded.x, exact.x), 0) << "BFLOAT16 is to round something";
}

}  // namespace
}  // namespace switchyard
