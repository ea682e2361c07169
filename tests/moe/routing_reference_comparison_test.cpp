// Every routing method compared with the f64 reference: choices, drops, gates, outputs, losses and
// all gradients, on the number of processes that the test runs with.
#include <gtest/gtest.h>

#include <algorithm>

#include "moe/closeness.hpp"
#include "moe/routing_cases.hpp"
#include "moe/uniform.hpp"
#include "moe/usable_comm.hpp"
#include "support/mpi_main.hpp"

namespace switchyard {
namespace {

using reference::Choice;
using reference::RoutingProblem;
using reference::RoutingResult;

// The discrete decisions of the routing, without weights.
std::vector<std::pair<std::int64_t, bool>> decisions(const RoutingProblem& problem) {
  std::vector<std::pair<std::int64_t, bool>> all;
  for (const Choice& choice : run_routing(problem, false).choices)
    all.emplace_back(choice.expert, choice.kept);
  return all;
}

// No decision depends on a difference near f32's precision: decisions do not change when their
// inputs change by a hundred times that amount.
void expect_no_near_ties(const RoutingProblem& problem) {
  const auto firm = decisions(problem);
  for (std::uint64_t trial = 0; trial < 4; ++trial) {
    RoutingProblem moved = problem;
    const auto move = [&](std::vector<double>& values, std::uint64_t seed) {
      const std::vector<float> by = uniform(seed + trial, std::ssize(values), 1e-5f);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] *= 1 + by[i];
    };
    move(moved.router, 100);
    move(moved.x, 200);
    move(moved.bias, 300);
    move(moved.gumbel, 400);
    move(moved.second_draw, 500);
    EXPECT_EQ(decisions(moved), firm) << "trial " << trial;
  }
}

// Compares choices; the layer's are [V, k, N], the reference's [k, V*N].
void expect_same_choices(const LayerCase& c, const LayerOutputs& got, const RoutingResult& want) {
  const std::int64_t tokens = c.V * c.N, k = std::ssize(want.choices) / tokens;
  ASSERT_EQ(got.expert.size(), want.choices.size());
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t j = 0; j < k; ++j) {
      const Choice& choice = want.choices[j * tokens + t];
      const std::int64_t at = (t / c.N * k + j) * c.N + t % c.N;
      EXPECT_EQ(got.fate[at] == Fate::kept, choice.kept) << "token " << t << ", choice " << j;
      if (choice.expert < 0) {
        EXPECT_TRUE(got.fate[at] == Fate::none || got.fate[at] == Fate::declined);
      } else {
        EXPECT_EQ(got.expert[at], choice.expert) << "token " << t << ", choice " << j;
        EXPECT_NEAR(got.gate[at], choice.weight, 2e-6) << "token " << t << ", choice " << j;
      }
    }
  }
}

std::int64_t sum(const std::vector<std::int64_t>& values) {
  std::int64_t total = 0;
  for (const std::int64_t value : values) total += value;
  return total;
}

std::int64_t total(const LayerOutputs& out, std::int64_t RoutingStats::*count) {
  std::int64_t all = 0;
  for (const RoutingStats& stats : out.stats) all += stats.*count;
  return all;
}

double total(const LayerOutputs& out, double RoutingStats::*value) {
  double all = 0;
  for (const RoutingStats& stats : out.stats) all += stats.*value;
  return all;
}

void expect_same_counts(const LayerCase& c, const LayerOutputs& got, const RoutingResult& want) {
  if (c.method == RoutingMethod::soft) return;
  const bool one_place_is_enough =
      c.method == RoutingMethod::ntlb || c.method == RoutingMethod::expert_choice;
  EXPECT_EQ(total(got, &RoutingStats::dropped),
            sum(one_place_is_enough ? want.dropped_tokens : want.dropped_choices));
  const auto kept = std::ranges::count_if(want.choices, &Choice::kept);
  EXPECT_EQ(total(got, &RoutingStats::computed), kept);
  // The reference also counts choices that a token does not need.
  if (c.method == RoutingMethod::ntlb) return;
  std::vector<std::int64_t> wanted(c.E), counted(c.E);
  for (const Choice& choice : want.choices)
    if (choice.expert >= 0) ++wanted[choice.expert];
  for (const RoutingStats& stats : got.stats)
    for (int e = 0; e < c.E; ++e) counted[e] += stats.tokens_per_expert[e];
  EXPECT_EQ(counted, wanted);
}

void expect_same_losses(const LayerCase& c, const LayerInputs& in, const LayerOutputs& got,
                        const RoutingResult& want) {
  const auto real = static_cast<double>(std::ranges::count(in.real, 1));
  EXPECT_NEAR(total(got, &RoutingStats::z_sum), want.z * real, 1e-5 * want.z * real);
  if (c.moe.load_balancing != LoadBalancing::aux) return;
  const auto groups = static_cast<double>(total(got, &RoutingStats::groups));
  EXPECT_NEAR(total(got, &RoutingStats::balance_sum) / groups, want.aux, 1e-5 * want.aux);
}

// [E, wi + wo]
std::vector<double> expert_gradients(const LayerCase& c, const RoutingResult& r) {
  std::vector<double> all;
  const std::int64_t kernel = c.D * c.F;
  for (std::int64_t e = 0; e < c.E; ++e)
    for (const auto* part : {&r.d_wi, &r.d_wo})
      all.insert(all.end(), part->begin() + e * kernel, part->begin() + (e + 1) * kernel);
  return all;
}

class RoutingCases : public testing::TestWithParam<RoutingCase> {};

TEST_P(RoutingCases, AgreesWithPlainDoublePrecision) {
  const LayerCase c = GetParam().layer;
  const LayerInputs in = make_inputs(c);
  const RoutingProblem problem = routing_problem(c, in);
  const RoutingResult want = run_routing(problem, true);
  if (c.method != RoutingMethod::soft) expect_no_near_ties(problem);
  const LayerOutputs got = run_layer(usable_comm(test_world(), c.V, c.G), c, in);
  expect_same_choices(c, got, want);
  expect_same_counts(c, got, want);
  expect_same_losses(c, in, got, want);
  expect_close("y", got.y, want.y);
  expect_close("dx", got.dx, want.dx);
  expect_close("experts", sum_of_leaves(got.expert_leaves, c.G), expert_gradients(c, want));
  // With one expert, its probability is 1 for any logit: except for the z-loss, only rounding is
  // left.
  const std::vector<float> d_router = sum_of_leaves(got.router_leaves, c.V);
  if (norm(want.d_router) > 1e-10) {
    expect_close("router", d_router, want.d_router);
  } else {
    EXPECT_LE(norm(widened(d_router)), 1e-5);
  }
}

// The cases are meaningful: tokens are dropped where they should be.
TEST_P(RoutingCases, DropsWherePlacesAreFew) {
  const LayerCase c = GetParam().layer;
  if (c.method == RoutingMethod::soft || group_capacity(c) == c.N) return;
  if (c.moe.capacity_factor > 1 || sees_whole_row(c.method)) return;
  const RoutingResult want = run_routing(routing_problem(c, make_inputs(c)), false);
  EXPECT_GT(sum(want.dropped_choices), 0);
}

INSTANTIATE_TEST_SUITE_P(Layers, RoutingCases, testing::ValuesIn(routing_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace switchyard
