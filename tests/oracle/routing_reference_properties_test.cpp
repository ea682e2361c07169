// The reference routings: their gradients compared with central differences of their losses, and
// properties that hold for any inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/routing_reference.hpp"

namespace switchyard::reference::routing_reference_properties_test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Two virtual ranks with three rows of four tokens, some of them padding, and three experts.
RoutingProblem random_problem(RoutingKind kind, std::uint64_t seed) {
  RoutingProblem q;
  q.kind = kind;
  q.V = 2;
  q.rows = 3;
  q.length = 4;
  q.D = 3;
  q.F = 5;
  q.E = 3;
  q.capacity = 3;
  q.capacity_factor = 1.6;
  q.aux_coef = 0.7;
  q.z_coef = 0.3;
  std::mt19937_64 engine(seed);
  const auto fill = [&](std::vector<double>& values, std::int64_t n, double low, double high) {
    for (std::int64_t i = 0; i < n; ++i) {
      values.push_back(low + (high - low) * static_cast<double>(engine() >> 11) * 0x1p-53);
    }
  };
  const std::int64_t tokens = q.tokens();
  for (std::int64_t t = 0; t < tokens; ++t) {
    // rows of 4, 3, 0; 2, 4, 3 real tokens
    const std::int64_t lengths[] = {4, 3, 0, 2, 4, 3};
    q.real.push_back(t % q.length < lengths[t / q.length]);
    q.hash_expert.push_back(static_cast<std::int64_t>(engine() % 3));
  }
  fill(q.x, tokens * q.D, -1, 1);
  fill(q.dy, tokens * q.D, -1, 1);
  fill(q.router, q.D * q.router_columns(), -2, 2);
  fill(q.bias, q.E, -.2, .2);
  fill(q.wi, q.E * q.D * q.F, -1, 1);
  fill(q.wo, q.E * q.F * q.D, -1, 1);
  fill(q.input_factor, tokens * q.D, .5, 1.5);
  fill(q.gumbel, tokens * q.E, -1, 3);
  fill(q.second_draw, tokens, 0, 1);
  fill(q.drop_draw, q.E * tokens, 0, 1);
  return q;
}

struct Variant {
  std::string name;
  RoutingProblem problem;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  std::uint64_t seed = 1;
  const auto add = [&](std::string name, RoutingKind kind, auto change) {
    RoutingProblem q = random_problem(kind, seed++);
    change(q);
    all.push_back({std::move(name), std::move(q)});
  };
  using K = RoutingKind;
  const auto as_it_is = [](RoutingProblem&) {};
  add("Switch", K::switch_top1, as_it_is);
  add("SwitchByProbs", K::switch_top1, [](auto& q) { q.drop_policy = DropOrder::probs; });
  add("SwitchByLot", K::switch_top1, [](auto& q) { q.drop_policy = DropOrder::random; });
  add("SwitchGlobal", K::switch_top1, [](auto& q) { q.scope = AuxScope::global; });
  add("SwitchBias", K::switch_top1, [](auto& q) { q.balance = Balance::bias; });
  add("SwitchUnbalanced", K::switch_top1, [](auto& q) { q.balance = Balance::none; });
  add("SwitchSample", K::switch_top1, [](auto& q) { q.exploration = Explore::sample; });
  add("SwitchJitter", K::switch_top1, [](auto& q) { q.exploration = Explore::input_jitter; });
  add("Top2All", K::top2, as_it_is);
  add("Top2None", K::top2, [](auto& q) { q.second_policy = SecondChoice::none; });
  add("Top2Threshold", K::top2, [](auto& q) { q.second_policy = SecondChoice::threshold; });
  add("Top2Random", K::top2, [](auto& q) { q.second_policy = SecondChoice::random; });
  add("Top2Bias", K::top2, [](auto& q) { q.balance = Balance::bias; });
  add("Top2GlobalByProbs", K::top2, [](auto& q) {
    q.scope = AuxScope::global;
    q.drop_policy = DropOrder::probs;
  });
  add("Topk", K::topk, [](auto& q) { q.k = 2; });
  add("TopkNormalized", K::topk, [](auto& q) {
    q.k = 2;
    q.normalize_gates = true;
    q.drop_policy = DropOrder::probs;
  });
  add("TopkSampleByLot", K::topk, [](auto& q) {
    q.k = 2;
    q.exploration = Explore::sample;
    q.drop_policy = DropOrder::random;
  });
  add("TopkOfAll", K::topk, [](auto& q) {
    q.k = 3;
    q.normalize_gates = true;
    q.scope = AuxScope::global;
  });
  add("Ntlb", K::ntlb, as_it_is);
  add("NtlbByProbsGlobal", K::ntlb, [](auto& q) {
    q.ntlb_top_k = 2;
    q.scope = AuxScope::global;
    q.drop_policy = DropOrder::probs;
  });
  add("NtlbBias", K::ntlb, [](auto& q) { q.balance = Balance::bias; });
  add("Hash", K::hash, as_it_is);
  add("ExpertChoice", K::expert_choice, as_it_is);
  add("ExpertChoiceJitter", K::expert_choice,
      [](auto& q) { q.exploration = Explore::input_jitter; });
  add("Soft", K::soft, as_it_is);
  add("SoftDropout", K::soft, [](auto& q) { q.exploration = Explore::input_dropout; });
  return all;
}

std::vector<Variant> variants_with_choices() {
  std::vector<Variant> all = variants();
  std::erase_if(all, [](const Variant& v) { return v.problem.kind == RoutingKind::soft; });
  return all;
}

class EveryRouting : public testing::TestWithParam<Variant> {};
class EveryChoice : public testing::TestWithParam<Variant> {};

bool same_selection(const RoutingResult& a, const RoutingResult& b) {
  return std::equal(a.choices.begin(), a.choices.end(), b.choices.begin(),
                    [](const Choice& one, const Choice& other) {
                      return one.expert == other.expert && one.kept == other.kept;
                    });
}

TEST_P(EveryRouting, HasTheGradientsOfCentralDifferences) {
  RoutingProblem q = GetParam().problem;
  const RoutingResult r = run_routing(q, true);
  const auto check = [&](std::vector<double>& values, const std::vector<double>& gradient,
                         const char* name) {
    ASSERT_EQ(values.size(), gradient.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double h = 1e-5, value = values[i];
      values[i] = value + h;
      const RoutingResult up = run_routing(q, false);
      values[i] = value - h;
      const RoutingResult down = run_routing(q, false);
      values[i] = value;
      ASSERT_TRUE(same_selection(up, r) && same_selection(down, r)) << "a tie; take another seed";
      EXPECT_NEAR((up.loss - down.loss) / (2 * h), gradient[i],
                  1e-8 * std::max(1.0, std::abs(gradient[i])))
          << name << " " << i;
    }
  };
  check(q.x, r.dx, "x");
  check(q.router, r.d_router, "router");
  check(q.wi, r.d_wi, "wi");
  check(q.wo, r.d_wo, "wo");
}

TEST_P(EveryChoice, KeepsWithinCapacityAndLosesCountOfNoToken) {
  const RoutingProblem& q = GetParam().problem;
  const RoutingResult r = run_routing(q, false);
  const bool by_rows = q.kind == RoutingKind::expert_choice;
  const std::int64_t group_tokens = by_rows ? q.length : q.group_tokens();
  for (std::int64_t group = 0; group < q.routing_groups(); ++group) {
    std::vector<std::int64_t> taken(at(q.E), 0);
    std::int64_t real = 0, reached = 0, wanted = 0, served = 0;
    for (std::int64_t t = group * group_tokens; t < (group + 1) * group_tokens; ++t) {
      std::int64_t kept_choices = 0;
      for (std::int64_t c = 0; c < q.choices(); ++c) {
        const Choice& choice = r.choices[at(c * q.tokens() + t)];
        if (choice.kept) ++taken[at(choice.expert)];
        kept_choices += choice.kept;
        wanted += choice.expert >= 0;
        EXPECT_TRUE(q.real[at(t)] || choice.expert < 0);
      }
      EXPECT_LE(kept_choices, q.kind == RoutingKind::ntlb ? 1 : q.choices());
      real += q.real[at(t)];
      reached += kept_choices > 0;
      served += kept_choices;
    }
    const std::int64_t capacity = by_rows ? q.expert_choice_capacity(real) : q.capacity;
    for (std::int64_t n : taken) EXPECT_LE(n, capacity);
    EXPECT_EQ(reached + r.dropped_tokens[at(group)], real);
    // (a choice that a token of ntlb no longer needs is neither)
    const std::int64_t answered = served + r.dropped_choices[at(group)];
    EXPECT_TRUE(q.kind == RoutingKind::ntlb ? answered <= wanted : answered == wanted);
  }
}

TEST_P(EveryRouting, LeavesPaddingAlone) {
  RoutingProblem q = GetParam().problem;
  const RoutingResult before = run_routing(q, true);
  for (std::int64_t i = 0; i < q.tokens() * q.D; ++i) {
    if (q.real[at(i / q.D)]) continue;
    EXPECT_EQ(before.y[at(i)], 0);
    EXPECT_EQ(before.dx[at(i)], 0);
    q.x[at(i)] += 10;
  }
  const RoutingResult after = run_routing(q, true);
  EXPECT_EQ(after.y, before.y);
  EXPECT_EQ(after.loss, before.loss);
  EXPECT_EQ(after.d_router, before.d_router);
}

TEST_P(EveryRouting, DrawsNothingInEvaluation) {
  RoutingProblem q = GetParam().problem;
  q.evaluation = true;
  const RoutingResult with_draws = run_routing(q, false);
  q.input_factor.clear();
  q.gumbel.clear();
  q.second_draw.clear();
  q.drop_draw.clear();
  const RoutingResult without = run_routing(q, false);
  EXPECT_TRUE(same_selection(with_draws, without));
  EXPECT_EQ(with_draws.loss, without.loss);
}

INSTANTIATE_TEST_SUITE_P(RoutingReference, EveryRouting, testing::ValuesIn(variants()),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(RoutingReference, EveryChoice, testing::ValuesIn(variants_with_choices()),
                         [](const auto& info) { return info.param.name; });

TEST(RoutingReference, IsSwitchWhenTopKIsOne) {
  RoutingProblem q = random_problem(RoutingKind::switch_top1, 50);
  for (Balance balance : {Balance::aux, Balance::bias}) {
    q.balance = balance;
    q.kind = RoutingKind::switch_top1;
    const RoutingResult one = run_routing(q, true);
    q.kind = RoutingKind::topk;
    const RoutingResult other = run_routing(q, true);
    EXPECT_TRUE(same_selection(one, other));
    EXPECT_EQ(one.counts, other.counts);
    EXPECT_EQ(one.loss, other.loss);
    EXPECT_EQ(one.dx, other.dx);
    EXPECT_EQ(one.d_router, other.d_router);
  }
}

TEST(RoutingReference, GivesAllExpertsAWholeTogether) {
  RoutingProblem q = random_problem(RoutingKind::topk, 51);
  q.k = q.E;
  for (bool normalize : {false, true}) {  // the probabilities sum to 1 as they are
    q.normalize_gates = normalize;
    const RoutingResult r = run_routing(q, false);
    for (std::int64_t t = 0; t < q.tokens(); ++t) {
      double sum = 0;
      for (std::int64_t c = 0; c < q.k; ++c) sum += r.choices[at(c * q.tokens() + t)].weight;
      EXPECT_NEAR(sum, q.real[at(t)] ? 1 : 0, 1e-12);
    }
  }
}

TEST(RoutingReference, HasSoftWeightsThatSumToOne) {
  const RoutingProblem q = random_problem(RoutingKind::soft, 52);
  const RoutingResult r = run_routing(q, false);
  const std::int64_t columns = q.router_columns(), S_max = columns / q.E;
  ASSERT_GT(S_max, q.soft_slots(1));  // the rows differ in their slots
  for (std::int64_t row = 0; row < q.V * q.rows; ++row) {
    std::vector<double> slot(at(columns), 0.0);
    std::int64_t real = 0;
    for (std::int64_t t = row * q.length; t < (row + 1) * q.length; ++t) {
      double token = 0;
      for (std::int64_t c = 0; c < columns; ++c) {
        token += r.combine[at(t * columns + c)];
        slot[at(c)] += r.dispatch[at(t * columns + c)];
      }
      EXPECT_NEAR(token, q.real[at(t)] ? 1 : 0, 1e-12);
      real += q.real[at(t)];
    }
    for (std::int64_t c = 0; c < columns; ++c) {
      EXPECT_NEAR(slot[at(c)], real > 0 && c % S_max < q.soft_slots(real) ? 1 : 0, 1e-12);
    }
  }
}

TEST(RoutingReference, RefusesWhatHasNoDefinition) {
  const auto refused = [](RoutingKind kind, auto change) {
    RoutingProblem q = random_problem(kind, 53);
    change(q);
    EXPECT_THROW(run_routing(q, false), std::invalid_argument);
  };
  refused(RoutingKind::topk, [](auto& q) { q.normalize_gates = true; });
  refused(RoutingKind::topk, [](auto& q) { q.k = 4; });
  refused(RoutingKind::hash, [](auto& q) { q.balance = Balance::bias; });
  refused(RoutingKind::soft, [](auto& q) { q.exploration = Explore::sample; });
}

}  // namespace
}  // namespace switchyard::reference::routing_reference_properties_test
