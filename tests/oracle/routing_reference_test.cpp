// The reference routings compared with numbers worked out by hand.
#include "support/routing_reference.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace switchyard::reference::routing_reference_test {
namespace {

using testing::ElementsAre;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// One group of tokens with these probabilities ([token][E]): x = log p, with the identity as
// router. Every expert is relu(x) times one column; cases that do not set the columns do not depend
// on them.
RoutingProblem with_probabilities(RoutingKind kind, const std::vector<std::vector<double>>& p) {
  RoutingProblem q;
  q.kind = kind;
  q.length = static_cast<std::int64_t>(p.size());
  q.E = q.D = static_cast<std::int64_t>(p[0].size());
  q.capacity = q.length;
  q.real.assign(p.size(), true);
  for (const auto& row : p) {
    for (double value : row) q.x.push_back(std::log(value));
  }
  q.dy.assign(q.x.size(), 1.0);
  q.router.assign(at(q.D * q.E), 0.0);
  for (std::int64_t e = 0; e < q.E; ++e) q.router[at(e * q.E + e)] = 1.0;
  q.wi.assign(at(q.E * q.D * q.F), 1.0);
  q.wo.assign(at(q.E * q.F * q.D), 1.0);
  return q;
}

std::vector<std::int64_t> experts(const RoutingProblem& q, const RoutingResult& r, int c) {
  std::vector<std::int64_t> result;
  for (std::int64_t t = 0; t < q.tokens(); ++t) {
    result.push_back(r.choices[at(c * q.tokens() + t)].expert);
  }
  return result;
}

std::vector<bool> kept(const RoutingProblem& q, const RoutingResult& r, int c) {
  std::vector<bool> result;
  for (std::int64_t t = 0; t < q.tokens(); ++t) {
    result.push_back(r.choices[at(c * q.tokens() + t)].kept);
  }
  return result;
}

std::vector<double> weights(const RoutingProblem& q, const RoutingResult& r, int c) {
  std::vector<double> result;
  for (std::int64_t t = 0; t < q.tokens(); ++t) {
    result.push_back(r.choices[at(c * q.tokens() + t)].weight);
  }
  return result;
}

void expect_near(const std::vector<double>& values, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], expected[i], tolerance) << "element " << i;
  }
}

// A layer computed once in f64 with a separate program: six tokens, three experts, capacity 2.
TEST(RoutingReference, HasTheKnownNumbersOfASwitchLayer) {
  RoutingProblem q;
  q.length = 6;
  q.D = q.F = 2;
  q.E = 3;
  q.capacity = 2;
  q.aux_coef = 0.01;
  q.z_coef = 0.001;
  q.real.assign(6, true);
  q.x = {1, .5, .8, -.2, .9, .4, -.5, 1, -.4, -.9, 1.1, .3};
  q.dy = {1, -1, .5, .2, -.3, .7, .9, .1, .4, -.6, .2, .3};
  q.router = {1, -.5, -.2, .1, .8, -.6};
  q.wi = {.5, -.3, .2, .4, -.6, .1, .7, .5, .3, .9, -.8, .2};
  q.wo = {.4, -.1, .6, .3, -.2, .5, .1, .9, .7, .2, -.3, .8};
  const RoutingResult r = run_routing(q, true);
  EXPECT_THAT(experts(q, r, 0), ElementsAre(0, 0, 0, 1, 2, 0));
  EXPECT_THAT(kept(q, r, 0), ElementsAre(true, true, false, true, true, false));
  EXPECT_THAT(r.counts, ElementsAre(4, 1, 1));
  EXPECT_THAT(r.dropped_tokens, ElementsAre(2));
  EXPECT_THAT(r.dropped_choices, ElementsAre(2));
  expect_near(weights(q, r, 0), {.6540715, .5874483, .6251292, .6911718, .6062892, .6880118}, 6e-8);
  expect_near({r.aux, r.z}, {1.2291493, 1.9024677}, 6e-8);
  EXPECT_NEAR(r.loss, 0.27281842, 6e-9);
  expect_near(r.y,
              {.1569772, -.0392443, .0845926, -.0211481, 0, 0, -.1071316, .6255105, .2546414,
               .0727547, 0, 0},
              6e-8);
  expect_near(r.d_router, {.08528939, -.03638533, -.04747425, .04763263, -.01962105, -.02737791},
              6e-9);
  expect_near(r.dx,
              {.25820093, .05602335, .07446781, .02406311, .00103187, 5.70e-6, .07647019,
               -.01141731, .01903399, -.10147220, .00101718, 3.816e-5},
              6e-9);
}

// Three tokens choose expert 0, which has two places; gates .6, .9, .7.
RoutingProblem crowded() {
  RoutingProblem q = with_probabilities(RoutingKind::switch_top1, {{.6, .4}, {.9, .1}, {.7, .3}});
  q.capacity = 2;
  q.drop_draw = {.5, .7, .1};
  return q;
}

TEST(RoutingReference, DropsByPositionByProbabilityOrByLot) {
  RoutingProblem q = crowded();
  EXPECT_THAT(kept(q, run_routing(q, false), 0), ElementsAre(true, true, false));
  q.drop_policy = DropOrder::probs;
  EXPECT_THAT(kept(q, run_routing(q, false), 0), ElementsAre(false, true, true));
  q.drop_policy = DropOrder::random;
  EXPECT_THAT(kept(q, run_routing(q, false), 0), ElementsAre(true, false, true));
  q.evaluation = true;
  EXPECT_THAT(kept(q, run_routing(q, false), 0), ElementsAre(true, true, false));
}

TEST(RoutingReference, GivesPaddingNoPlaceNoCountAndNoLoss) {
  RoutingProblem q = crowded();
  q.real = {false, true, true};
  const RoutingResult r = run_routing(q, true);
  EXPECT_THAT(experts(q, r, 0), ElementsAre(-1, 0, 0));
  EXPECT_THAT(kept(q, r, 0), ElementsAre(false, true, true));
  EXPECT_THAT(r.counts, ElementsAre(2, 0));
  // f = (1, 0), P_0 = (.9 + .7) / 2 = .8, and log-sum-exp of log p is 0
  expect_near({r.aux, r.z}, {2 * .8, 0}, 1e-12);
  expect_near({r.y[0], r.y[1], r.dx[0], r.dx[1]}, {0, 0, 0, 0}, 0);
}

TEST(RoutingReference, BreaksTiesTowardsTheLowerExpert) {
  RoutingProblem q = with_probabilities(RoutingKind::topk, {{.25, .25, .25, .25}});
  q.k = 2;
  const RoutingResult r = run_routing(q, false);
  EXPECT_EQ(experts(q, r, 0)[0], 0);
  EXPECT_EQ(experts(q, r, 1)[0], 1);
}

// Token 0: g = (.6, .3) / .9 = 2/3, 1/3. Token 1: g = (.8, .1) / .9 = 8/9, 1/9, and 1/9 is below
// the threshold, 5/9 of it: a draw of .5 takes the second expert, one of .6 does not.
TEST(RoutingReference, TakesSecondChoicesByPolicy) {
  RoutingProblem q = with_probabilities(RoutingKind::top2, {{.6, .3, .1}, {.8, .1, .1}});
  const auto second = [&](SecondChoice policy, double draw, bool evaluation) {
    q.second_policy = policy;
    q.second_draw = {.99, draw};
    q.evaluation = evaluation;
    const RoutingResult r = run_routing(q, false);
    // normalised, with the divisor's 1e-9, whether the second is taken or not
    expect_near(weights(q, r, 0), {.6 / (.9 + 1e-9), .8 / (.9 + 1e-9)}, 1e-13);
    EXPECT_THAT(r.counts, ElementsAre(2, 0, 0));  // first choices alone
    EXPECT_NEAR(r.aux, 3 * .7, 1e-12);            // f = (1, 0, 0), P_0 = .7
    return experts(q, r, 1);
  };
  EXPECT_THAT(second(SecondChoice::all, 0, false), ElementsAre(1, 1));
  EXPECT_THAT(second(SecondChoice::none, 0, false), ElementsAre(-1, -1));
  EXPECT_THAT(second(SecondChoice::threshold, 0, false), ElementsAre(1, -1));
  EXPECT_THAT(second(SecondChoice::random, .5, false), ElementsAre(1, 1));
  EXPECT_THAT(second(SecondChoice::random, .6, false), ElementsAre(1, -1));
  EXPECT_THAT(second(SecondChoice::random, .5, true), ElementsAre(1, -1));
}

// First choices 0, 1, 1 and second choices 1, 0, 0; capacity 2. Expert 1 is full after the first
// choices; expert 0 has one place left, which token 1 takes.
TEST(RoutingReference, ServesSecondChoicesAfterAllFirstOnes) {
  RoutingProblem q = with_probabilities(RoutingKind::top2, {{.6, .4}, {.3, .7}, {.2, .8}});
  q.capacity = 2;
  const RoutingResult r = run_routing(q, false);
  EXPECT_THAT(kept(q, r, 0), ElementsAre(true, true, true));
  EXPECT_THAT(kept(q, r, 1), ElementsAre(false, true, false));
  EXPECT_THAT(r.dropped_choices, ElementsAre(2));
  EXPECT_THAT(r.dropped_tokens, ElementsAre(0));
}

TEST(RoutingReference, HasNoSecondChoiceAmongOneExpert) {
  RoutingProblem q = with_probabilities(RoutingKind::top2, {{1.}});
  const RoutingResult r = run_routing(q, false);
  ASSERT_EQ(r.choices.size(), 1u);
  EXPECT_NEAR(r.choices[0].weight, 1 / (1 + 1e-9), 1e-13);
}

// Choices 0, 1 and 2, 1. f = (1, 2, 1) / 4; P = (.35, .3, .35); aux = 3 (.35 + .6 + .35) / 4.
// Normalised: .5 / .8, .3 / .8 and .5 / .8, .3 / .8.
TEST(RoutingReference, CountsAllChoicesOfTopK) {
  RoutingProblem q = with_probabilities(RoutingKind::topk, {{.5, .3, .2}, {.2, .3, .5}});
  q.k = 2;
  const RoutingResult raw = run_routing(q, false);
  EXPECT_THAT(experts(q, raw, 0), ElementsAre(0, 2));
  EXPECT_THAT(experts(q, raw, 1), ElementsAre(1, 1));
  EXPECT_THAT(raw.counts, ElementsAre(1, 2, 1));
  EXPECT_NEAR(raw.aux, .975, 1e-12);
  expect_near(weights(q, raw, 1), {.3, .3}, 1e-12);
  q.normalize_gates = true;
  const RoutingResult normalized = run_routing(q, false);
  expect_near(weights(q, normalized, 0), {.625, .625}, 1e-12);
  expect_near(weights(q, normalized, 1), {.375, .375}, 1e-12);
  EXPECT_NEAR(normalized.aux, .975, 1e-12);
}

// All choose expert 0 first; capacity 1. Token 0 gets it, token 1 goes to expert 1, and token 2,
// which would go there too, to its third choice, expert 2; the gates are p. With drop policy probs,
// token 2 is served first, then token 0 (.3 against .2). f counts all three choices of each token:
// a third for each expert, so aux = 3 (1/3) sum P = 1.
TEST(RoutingReference, LeavesNoTokenBehind) {
  const std::vector<std::vector<double>> p = {{.6, .3, .1}, {.7, .2, .1}, {.8, .15, .05}};
  RoutingProblem q = with_probabilities(RoutingKind::ntlb, p);
  q.capacity = 1;
  const RoutingResult r = run_routing(q, false);
  EXPECT_THAT(kept(q, r, 0), ElementsAre(true, false, false));
  EXPECT_THAT(kept(q, r, 1), ElementsAre(false, true, false));
  EXPECT_THAT(kept(q, r, 2), ElementsAre(false, false, true));
  EXPECT_NEAR(weights(q, r, 2)[2], .05, 1e-12);
  EXPECT_THAT(r.counts, ElementsAre(3, 3, 3));
  EXPECT_NEAR(r.aux, 1, 1e-12);
  EXPECT_THAT(r.dropped_tokens, ElementsAre(0));
  EXPECT_THAT(r.dropped_choices, ElementsAre(3));  // two of expert 0, one of expert 1
  q.drop_policy = DropOrder::probs;
  const RoutingResult by_gate = run_routing(q, false);
  EXPECT_THAT(kept(q, by_gate, 0), ElementsAre(false, false, true));
  EXPECT_THAT(kept(q, by_gate, 1), ElementsAre(true, false, false));
  EXPECT_THAT(kept(q, by_gate, 2), ElementsAre(false, true, false));
  q.drop_policy = DropOrder::position;
  q.ntlb_top_k = 2;
  EXPECT_THAT(run_routing(q, false).dropped_tokens, ElementsAre(1));
}

// p + b = (.6, .7): expert 1, whose gate stays .4.
TEST(RoutingReference, ChoosesByTheBiasAndWeighsWithoutIt) {
  RoutingProblem q = with_probabilities(RoutingKind::switch_top1, {{.6, .4}});
  q.balance = Balance::bias;
  q.bias = {0, .3};
  const RoutingResult r = run_routing(q, false);
  EXPECT_EQ(r.choices[0].expert, 1);
  EXPECT_NEAR(r.choices[0].weight, .4, 1e-12);
  EXPECT_EQ(r.aux, 0);
}

// log .6 + 2 * 0 = -.51 against log .4 + 2 * .5 = .08: expert 1, gate .4; with a temperature of .1,
// the latter is -.87: expert 0. Evaluation draws no noise.
TEST(RoutingReference, SamplesByPerturbedLogits) {
  RoutingProblem q = with_probabilities(RoutingKind::switch_top1, {{.6, .4}});
  q.exploration = Explore::sample;
  q.gumbel = {0, .5};
  q.temperature = 2;
  const Choice chosen = run_routing(q, false).choices[0];
  EXPECT_EQ(chosen.expert, 1);
  EXPECT_NEAR(chosen.weight, .4, 1e-12);
  q.temperature = .1;
  EXPECT_EQ(run_routing(q, false).choices[0].expert, 0);
  q.temperature = 2;
  q.evaluation = true;
  EXPECT_EQ(run_routing(q, false).choices[0].expert, 0);
}

// x = (1, 2) times (3, .5) is (3, 1): the router prefers expert 0 with p = 1 / (1 + e^-2), and
// the expert sees (1, 2): relu of the sum, 3, in both columns.
TEST(RoutingReference, PerturbsWhatTheRouterSeesAndNothingElse) {
  RoutingProblem q = with_probabilities(RoutingKind::switch_top1, {{.5, .5}});
  q.x = {1, 2};
  q.input_factor = {3, .5};
  for (Explore exploration : {Explore::input_jitter, Explore::input_dropout}) {
    q.exploration = exploration;
    const double p = 1 / (1 + std::exp(-2.0));
    expect_near(run_routing(q, false).y, {3 * p, 3 * p}, 1e-12);
  }
  q.evaluation = true;
  EXPECT_EQ(run_routing(q, false).choices[0].expert, 1);
}

TEST(RoutingReference, HashesWithAGateOfOne) {
  RoutingProblem q = with_probabilities(RoutingKind::hash, {{.5, .5}, {.5, .5}, {.5, .5}});
  q.x = {1, 2, 3, 4, 5, 6};
  q.hash_expert = {1, 0, 1};
  q.capacity = 1;
  q.wo = {1, 1, 10, 10};
  q.aux_coef = q.z_coef = 1;
  q.drop_policy = DropOrder::probs;  // all gates are alike: token order
  const RoutingResult r = run_routing(q, true);
  EXPECT_THAT(r.y, ElementsAre(30, 30, 7, 7, 0, 0));
  EXPECT_THAT(r.counts, ElementsAre(1, 2));
  EXPECT_THAT(r.d_router, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(r.aux + r.z, 0);
}

// Logits (ln 3, 0) and (0, 0). Over the tokens, expert 0 has probabilities 3/4, 1/4, and expert 1
// has 1/2, 1/2. Each takes one token: both take token 0 (a tie for expert 1), so the weights are
// halved. a = (5/8, 3/8); aux = 2 (25 + 9) / 64. A third token, padding, changes nothing.
TEST(RoutingReference, LetsExpertsChoose) {
  RoutingProblem q = with_probabilities(RoutingKind::expert_choice, {{3, 1}, {1, 1}, {100, 100}});
  q.real[2] = false;
  const RoutingResult r = run_routing(q, false);
  EXPECT_THAT(experts(q, r, 0), ElementsAre(0, -1, -1));
  EXPECT_THAT(experts(q, r, 1), ElementsAre(1, -1, -1));
  EXPECT_NEAR(weights(q, r, 0)[0], .375, 1e-12);
  EXPECT_NEAR(weights(q, r, 1)[0], .25, 1e-12);
  EXPECT_THAT(r.counts, ElementsAre(1, 1));
  EXPECT_THAT(r.dropped_tokens, ElementsAre(1));
  EXPECT_NEAR(r.aux, 1.0625, 1e-12);
  // z = (ln 4)^2 and (ln 2)^2, over the experts of each token
  EXPECT_NEAR(r.z, (std::pow(std::log(4), 2) + std::pow(std::log(2), 2)) / 2, 1e-12);
}

TEST(RoutingReference, SizesARowByItsRealTokens) {
  RoutingProblem q;
  q.E = 4;
  q.capacity_factor = 1.25;
  EXPECT_EQ(q.expert_choice_capacity(7), 2);  // 2.1875
  EXPECT_EQ(q.soft_slots(7), 2);
  EXPECT_EQ(q.expert_choice_capacity(3), 0);  // .9375
  EXPECT_EQ(q.soft_slots(3), 1);
  q.min_capacity = 4;
  EXPECT_EQ(q.expert_choice_capacity(7), 4);
  EXPECT_EQ(q.expert_choice_capacity(3), 3);
  q.capacity_factor = 8;
  EXPECT_EQ(q.expert_choice_capacity(7), 7);
  EXPECT_EQ(q.soft_slots(7), 14);
}

// Tokens (1, 0) and (0, 1) with logits (ln 3, 0) and (0, 0), one slot for each of two experts: the
// identity and twice the identity. Slot inputs are (3/4, 1/4) and (1/2, 1/2), outputs (3/4, 1/4)
// and (1, 1); token 0 combines them with weights 3/4 and 1/4, token 1 with 1/2 each.
TEST(RoutingReference, MixesSoftSlots) {
  RoutingProblem q = with_probabilities(RoutingKind::soft, {{1, 1}, {1, 1}});
  q.F = 2;
  q.x = {1, 0, 0, 1};
  q.router = {std::log(3), 0, 0, 0};
  q.wi = {1, 0, 0, 1, 1, 0, 0, 1};
  q.wo = {1, 0, 0, 1, 2, 0, 0, 2};
  const RoutingResult r = run_routing(q, false);
  expect_near(r.dispatch, {.75, .5, .25, .5}, 1e-12);
  expect_near(r.combine, {.75, .25, .5, .5}, 1e-12);
  expect_near(r.y, {.8125, .4375, .875, .625}, 1e-12);
  EXPECT_EQ(r.aux, 0);
}

// Two groups of one token each, p = (3/4, 1/4) and (1/4, 3/4), and a third group of padding. Per
// group f = (1, 0) and (0, 1): 2 * 3/4 in two of three groups, mean 1. Over all tokens f = (1/2,
// 1/2): 1 in both.
TEST(RoutingReference, CountsInItsScope) {
  RoutingProblem q =
      with_probabilities(RoutingKind::switch_top1, {{.75, .25}, {.25, .75}, {.5, .5}});
  q.V = 3;
  q.length = 1;
  q.real[2] = false;
  EXPECT_NEAR(run_routing(q, false).aux, 1, 1e-12);
  q.scope = AuxScope::global;
  EXPECT_NEAR(run_routing(q, false).aux, 2. / 3, 1e-12);
  q.balance = Balance::none;
  EXPECT_EQ(run_routing(q, false).aux, 0);
}

}  // namespace
}  // namespace switchyard::reference::routing_reference_test
