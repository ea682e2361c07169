// Properties of routings that hold for any inputs, on the number of processes that the test runs
// with.
#include <gmock/gmock.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "moe/closeness.hpp"
#include "moe/routing_cases.hpp"
#include "moe/uniform.hpp"
#include "moe/usable_comm.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

Comm alone() {
  const Comm& world = test_world();
  return world.split(static_cast<int>(world.rank().value), 0);
}

LayerOutputs run_here(const LayerCase& c, const LayerInputs& in) {
  return run_layer(usable_comm(test_world(), c.V, c.G), c, in);
}
LayerOutputs run_here(const LayerCase& c) { return run_here(c, make_inputs(c)); }

// Each with several ways of dividing the same work.
std::vector<RoutingCase> all_layers() {
  std::vector<RoutingCase> cases = routing_cases();
  for (const RoutingCase& base : plain_routings()) {
    LayerCase c = base.layer;
    c.padding = true, c.z_weight = 0.05;
    c.V = 4, c.G = 2, c.E = 3;
    cases.push_back({base.name + "InTwoGroups", c});
    c.V = 4, c.G = 4, c.moe.expert_dropout_rate = 0.2f;
    cases.push_back({base.name + "WithHiddenDropout", c});
    c.V = 5, c.G = 1, c.E = 7, c.N = 33, c.rows = 3, c.D = 19, c.F = 23;
    c.activation = Activation::gated_gelu;
    cases.push_back({base.name + "OfOddSizes", c});
    c.V = 1, c.N = 700, c.rows = 7, c.moe.router_precision = Precision::bfloat16;
    cases.push_back({base.name + "OfOneVirtualRank", c});
  }
  return cases;
}

class AnyRouting : public testing::TestWithParam<RoutingCase> {};

TEST_P(AnyRouting, HasTheSameBitsOnAnyNumberOfProcessesAndThreads) {
  LayerCase c = GetParam().layer;
  const LayerInputs in = make_inputs(c);
  const int threads = omp_get_max_threads();
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    c.precision = precision;
    omp_set_num_threads(3);
    const LayerOutputs here = run_here(c, in);
    omp_set_num_threads(1);
    const LayerOutputs single = run_layer(alone(), c, in);
    EXPECT_EQ(difference(here, single), "");
    EXPECT_EQ(here.sent_rows, single.sent_rows);
  }
  omp_set_num_threads(threads);
}

TEST_P(AnyRouting, RepeatsItsForwardBitForBit) {
  LayerCase c = GetParam().layer, again = c;
  again.repeats = true;
  const LayerInputs in = make_inputs(c);
  EXPECT_EQ(difference(run_here(c, in), run_here(again, in)), "");
}

TEST_P(AnyRouting, ComputesEveryRowThatIsKeptAndNoOther) {
  const LayerCase c = GetParam().layer;
  const LayerOutputs got = run_here(c);
  std::int64_t computed = 0;
  for (const RoutingStats& stats : got.stats) {
    computed += stats.computed;
    EXPECT_LE(stats.computed, stats.places);
    EXPECT_LE(stats.dropped, stats.wanted);
  }
  EXPECT_EQ(got.sent_rows, computed);
  EXPECT_EQ(got.received_rows, computed);
  if (c.method != RoutingMethod::soft) {
    EXPECT_EQ(std::ranges::count(got.fate, Fate::kept), computed);
  }
}

TEST_P(AnyRouting, GivesPaddingAndTokensWithoutAPlaceExactlyZero) {
  const LayerCase c = GetParam().layer;
  const LayerInputs in = make_inputs(c);
  const LayerOutputs got = run_here(c, in);
  const std::int64_t k = std::ssize(got.fate) / (c.V * c.N);
  for (std::int64_t t = 0; t < c.V * c.N; ++t) {
    bool kept = c.method == RoutingMethod::soft && in.real[t];
    for (std::int64_t j = 0; j < k; ++j)
      kept |= got.fate[(t / c.N * k + j) * c.N + t % c.N] == Fate::kept;
    const auto zero = [](float f) { return f == 0; };
    EXPECT_EQ(std::all_of(&got.y[t * c.D], &got.y[t * c.D] + c.D, zero), !kept) << "token " << t;
    if (!in.real[t]) {
      EXPECT_TRUE(std::all_of(&got.dx[t * c.D], &got.dx[t * c.D] + c.D, zero)) << "token " << t;
    }
  }
}

TEST_P(AnyRouting, FillsNoExpertBeyondItsPlacesAndServesNobodyTwice) {
  const LayerCase c = GetParam().layer;
  const LayerOutputs got = run_here(c);
  const std::int64_t k = std::ssize(got.fate) / (c.V * c.N);
  const bool by_row = c.method == RoutingMethod::expert_choice;
  std::map<std::pair<std::int64_t, std::int32_t>, std::int64_t> rows;   // of (group, expert)
  std::map<std::pair<std::int64_t, std::int32_t>, std::int64_t> times;  // of (token, expert)
  for (std::int64_t i = 0; i < std::ssize(got.fate); ++i) {
    if (got.fate[i] != Fate::kept) continue;
    const std::int64_t token = i / (k * c.N) * c.N + i % c.N;
    EXPECT_EQ((++times[{token, got.expert[i]}]), 1) << "token " << token;
    ++rows[{by_row ? token / (c.N / c.rows) : token / c.N, got.expert[i]}];
  }
  const double factor = c.mode == Mode::train ? c.moe.capacity_factor : c.moe.eval_capacity_factor;
  const auto fair = static_cast<std::int64_t>(factor * static_cast<double>(c.N / c.rows) / c.E);
  const std::int64_t places =
      by_row ? std::max<std::int64_t>(fair, c.moe.min_capacity) : group_capacity(c);
  for (const auto& [of, count] : rows) EXPECT_LE(count, places);
}

INSTANTIATE_TEST_SUITE_P(Layers, AnyRouting, testing::ValuesIn(all_layers()),
                         [](const auto& info) { return info.param.name; });

LayerCase plain(RoutingMethod method) {
  for (const RoutingCase& c : plain_routings())
    if (c.layer.method == method) return c.layer;
  return {};
}

TEST(TopK, OfOneChoiceIsSwitchBitForBit) {
  for (RoutingCase& named : routing_cases()) {
    LayerCase& c = named.layer;
    if (c.method != RoutingMethod::switch_top1) continue;
    const LayerInputs in = make_inputs(c);
    const LayerOutputs by_switch = run_here(c, in);
    c.method = RoutingMethod::topk, c.moe.router_topk = 1;
    EXPECT_EQ(difference(by_switch, run_here(c, in)), "") << named.name;
  }
}

// relu(x wi[e]) wo[e] for token t.
std::vector<double> answer(const LayerCase& c, const LayerInputs& in, std::int64_t e,
                           std::int64_t t) {
  std::vector<double> y(c.D);
  for (std::int64_t f = 0; f < c.F; ++f) {
    double hidden = 0;
    for (std::int64_t d = 0; d < c.D; ++d)
      hidden += static_cast<double>(in.x[t * c.D + d]) * in.wi[(e * c.D + d) * c.F + f];
    for (std::int64_t d = 0; d < c.D; ++d)
      y[d] += std::max(hidden, 0.0) * in.wo[(e * c.F + f) * c.D + d];
  }
  return y;
}

TEST(TopK, OfAllExpertsIsTheMixtureOfAllWeightedByTheirProbabilities) {
  for (const bool normalize : {false, true}) {
    LayerCase c = plain(RoutingMethod::topk);
    c.moe.router_topk = c.E, c.moe.normalize_gates = normalize, c.moe.dropless = true;
    const LayerInputs in = make_inputs(c);
    std::vector<double> want;
    for (std::int64_t t = 0; t < c.V * c.N; ++t) {
      std::vector<double> mixture(c.D);
      double sum = 0;
      for (std::int64_t e = 0; e < c.E; ++e) {
        double logit = 0;
        for (std::int64_t d = 0; d < c.D; ++d)
          logit += static_cast<double>(in.x[t * c.D + d]) * in.router[d * c.E + e];
        sum += std::exp(logit);
        const std::vector<double> y = answer(c, in, e, t);
        for (std::int64_t d = 0; d < c.D; ++d) mixture[d] += std::exp(logit) * y[d];
      }
      for (const double y : mixture) want.push_back(y / sum);
    }
    expect_close("y", run_here(c, in).y, want);
  }
}

// Replaces all other rows by other tokens, with the same padding.
LayerInputs with_other_rows(const LayerCase& c, const LayerInputs& in, std::int64_t row) {
  LayerInputs other = in;
  const std::vector<float> x = uniform(99, std::ssize(in.x));
  const std::int64_t size = c.N / c.rows * c.D;
  for (std::int64_t i = 0; i < std::ssize(x); ++i)
    if (i / size != row) other.x[i] = x[i];
  return other;
}

class RowRouting : public testing::TestWithParam<RoutingMethod> {};

TEST_P(RowRouting, AnswersARowWithoutRegardToTheOthers) {
  LayerCase c = plain(GetParam());
  c.z_weight = 0.1;
  const LayerInputs in = make_inputs(c);
  const LayerOutputs first = run_here(c, in);
  const std::int64_t row = 3, size = c.N / c.rows * c.D;
  const LayerOutputs second = run_here(c, with_other_rows(c, in, row));
  for (std::int64_t i = 0; i < std::ssize(first.y); ++i) {
    if (i / size == row) {
      EXPECT_EQ(first.y[i], second.y[i]);
      EXPECT_EQ(first.dx[i], second.dx[i]);
    }
  }
  EXPECT_NE(first.y, second.y);
}

TEST_P(RowRouting, AnswersARowWithoutRegardToThePaddingOfTheOthers) {
  LayerCase c = plain(GetParam());
  LayerInputs in = make_inputs(c);
  const std::int64_t row = 3, length = c.N / c.rows, size = length * c.D;
  const LayerOutputs first = run_here(c, in);
  for (std::int64_t t = 0; t < std::ssize(in.real); ++t)
    if (t / length != row && t % length > 4 + t / length) in.real[t] = 0;
  const LayerOutputs second = run_here(c, in);
  for (std::int64_t i = row * size; i < (row + 1) * size; ++i) EXPECT_EQ(first.y[i], second.y[i]);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RowRouting,
                         testing::Values(RoutingMethod::expert_choice, RoutingMethod::soft),
                         [](const auto& info) {
                           return info.param == RoutingMethod::soft ? "Soft" : "ExpertChoice";
                         });

TEST(Hash, SendsATokenWhereItsIdSays) {
  LayerCase c = plain(RoutingMethod::hash);
  c.moe.dropless = true;
  LayerInputs in = make_inputs(c);
  const LayerOutputs first = run_here(c, in);
  for (std::size_t t = 0; t < in.ids.size(); ++t)
    for (std::size_t u = 0; u < t; ++u)
      if (in.ids[t] == in.ids[u]) {
        EXPECT_EQ(first.expert[t], first.expert[u]);
      }
  in.x = uniform(50, std::ssize(in.x));
  for (std::uint64_t& index : in.index) index += 1000;
  c.step += 7, c.mode = Mode::evaluate;
  EXPECT_EQ(run_here(c, in).expert, first.expert);
  ++c.layer;
  EXPECT_NE(run_here(c, in).expert, first.expert);
  EXPECT_THAT(first.gate, testing::Each(1.0f));
  EXPECT_TRUE(first.router_leaves.empty());
}

TEST(Ntlb, PlacesEverybodyWhereAllExpertsAreTriedAndPlacesSuffice) {
  for (const bool crowded : {false, true}) {
    LayerCase c = plain(RoutingMethod::ntlb);
    c.E = 4, c.moe.ntlb_top_k = c.E, c.one_expert_for_all = crowded;
    ASSERT_GE(c.E * group_capacity(c), c.N);
    const LayerOutputs got = run_here(c);
    for (const RoutingStats& stats : got.stats) {
      EXPECT_EQ(stats.dropped, 0);
      EXPECT_EQ(stats.computed, c.N);
    }
  }
}

TEST(Ntlb, ServesATokenByOneExpertWithThatExpertsOwnProbability) {
  const LayerCase c = plain(RoutingMethod::ntlb);
  const LayerInputs in = make_inputs(c);
  const LayerOutputs got = run_here(c, in);
  const std::int64_t k = c.moe.ntlb_top_k;
  std::int64_t later = 0;
  for (std::int64_t t = 0; t < c.V * c.N; ++t) {
    std::int64_t kept = 0;
    for (std::int64_t j = 0; j < k; ++j) {
      const std::int64_t at = (t / c.N * k + j) * c.N + t % c.N;
      if (got.fate[at] != Fate::kept) continue;
      ++kept;
      later += j > 0;
      double y = 0, want = 0;
      for (std::int64_t d = 0; d < c.D; ++d) {
        y += got.y[t * c.D + d];
        want += got.gate[at] * answer(c, in, got.expert[at], t)[d];
      }
      EXPECT_NEAR(y, want, 1e-5);
    }
    EXPECT_LE(kept, 1);
  }
  EXPECT_GT(later, 0);
}

// All experts that compute a row use the same mask of hidden dropout.
TEST(TopK, DropsTheSameHiddenUnitsOfATokenInEachOfItsExperts) {
  LayerCase c = plain(RoutingMethod::topk);
  c.moe.router_topk = 3, c.moe.normalize_gates = true, c.moe.dropless = true;
  c.moe.expert_dropout_rate = 0.4f;
  LayerInputs in = make_inputs(c);
  for (std::vector<float>* weights : {&in.wi, &in.wo})
    for (std::int64_t i = c.D * c.F; i < std::ssize(*weights); ++i)
      (*weights)[i] = (*weights)[i - c.D * c.F];  // all experts have the same weights
  LayerCase one = c;
  one.E = 1, one.method = RoutingMethod::switch_top1;
  LayerInputs in_one = in;
  in_one.router.resize(c.D);
  const LayerOutputs dropped = run_here(one, in_one);
  expect_close("y", run_here(c, in).y, widened(dropped.y));
  one.moe.expert_dropout_rate = 0;
  EXPECT_NE(run_here(one, in_one).y, dropped.y);
}

TEST(BalanceLoss, IsTheMeanOverTheMicroStepsOfAStep) {
  for (RoutingCase named : plain_routings()) {
    LayerCase& c = named.layer;
    if (!has_router(c.method) || c.method == RoutingMethod::soft) continue;
    c.balance_weight = 1;
    LayerInputs in = make_inputs(c);
    std::ranges::fill(in.dy, 0.0f);
    const LayerOutputs whole = run_here(c, in);
    c.micro_steps = 2;
    const LayerOutputs half = run_here(c, in);
    for (std::size_t i = 0; i < whole.dx.size(); ++i)
      ASSERT_EQ(whole.dx[i], 2 * half.dx[i]) << named.name;
    EXPECT_THAT(whole.dx, testing::Contains(testing::Ne(0.0f))) << named.name;
  }
}

bool is_bfloat16(float p) { return p == round_to_bfloat16(p); }

TEST(RouterInBfloat16, RoundsEveryProbability) {
  for (RoutingMethod method : {RoutingMethod::switch_top1, RoutingMethod::topk, RoutingMethod::ntlb,
                               RoutingMethod::expert_choice}) {
    LayerCase c = plain(method);
    c.moe.router_precision = Precision::bfloat16;
    c.E = 2;  // a token chosen by both has exactly half of each probability
    c.moe.router_topk = c.moe.ntlb_top_k = 2;
    const LayerOutputs got = run_here(c);
    EXPECT_TRUE(std::ranges::all_of(got.gate, is_bfloat16)) << static_cast<int>(method);
    EXPECT_FALSE(std::ranges::all_of(run_here(plain(method)).gate, is_bfloat16));
  }
}

TEST(RouterInBfloat16, RoundsBothMixturesOfSoftRouting) {
  constexpr std::int64_t length = 6, rows = 3, slots = 2, experts = 4;
  auto logits = Tensor<float>::uninitialized(rows * length, experts * slots);
  std::ranges::copy(uniform(1, logits.size()), logits.data());
  const std::vector<std::uint8_t> real(rows * length, 1);
  const SoftMixture mixture =
      soft_mixture({length, slots, experts, slots}, std::move(logits), real, Precision::bfloat16);
  EXPECT_TRUE(std::ranges::all_of(mixture.dispatch.flat(), is_bfloat16));
  EXPECT_TRUE(std::ranges::all_of(mixture.combine.p.flat(), is_bfloat16));
}

}  // namespace
}  // namespace switchyard
