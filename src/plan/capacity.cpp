#include "plan/capacity.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "moe/capacity.hpp"
#include "moe/dispatch_plan.hpp"

namespace switchyard {
namespace {

// The log of the probability that x of n independent events of probability p occur, for 0 < p < 1.
double log_binomial(std::int64_t n, double p, std::int64_t x) {
  const auto log_factorial = [](std::int64_t k) { return std::lgamma(static_cast<double>(k) + 1); };
  return log_factorial(n) - log_factorial(x) - log_factorial(n - x) +
         static_cast<double>(x) * std::log(p) + static_cast<double>(n - x) * std::log1p(-p);
}

// The largest number of choices that a token makes.
std::int64_t most_choices(const MoeConfig& moe, RoutingMethod method) {
  const bool no_second = method == RoutingMethod::top2 && moe.second_policy == SecondPolicy::none;
  return no_second ? 1 : experts_per_token(moe, method);
}

// Whether every token makes all of these choices, whatever its gates.
bool wants_all_choices(const MoeConfig& moe, RoutingMethod method) {
  const bool by_gate =
      moe.second_policy == SecondPolicy::random || moe.second_policy == SecondPolicy::threshold;
  return method != RoutingMethod::ntlb && !(method == RoutingMethod::top2 && by_gate);
}

// The capacity of a row of n real tokens where rows are routing groups.
std::int64_t row_capacity(const MoeConfig& moe, RoutingMethod method, std::int64_t n) {
  if (method == RoutingMethod::soft) return soft_slots(n, moe.capacity_factor, moe.num_experts);
  return std::min(n, expert_capacity(n, moe.capacity_factor, moe.num_experts, moe.min_capacity));
}

}  // namespace

double expected_overflow(std::int64_t tokens, std::int64_t experts, std::int64_t capacity,
                         std::int64_t choices) {
  assert(tokens >= 0 && 1 <= choices && choices <= experts && capacity >= 0);
  if (choices == experts) return static_cast<double>(std::max<std::int64_t>(tokens - capacity, 0));
  const double wanted = static_cast<double>(choices) / static_cast<double>(experts);
  double overflow = 0;
  for (std::int64_t x = capacity + 1; x <= tokens; ++x)
    overflow += static_cast<double>(x - capacity) * std::exp(log_binomial(tokens, wanted, x));
  return overflow;
}

std::int64_t training_capacity(const MoeConfig& moe, std::int64_t positions) {
  if (moe.dropless) return positions;
  return expert_capacity(positions, moe.capacity_factor, moe.num_experts, moe.min_capacity);
}

CapacityPlan plan_capacity(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                           bool decoder) {
  const MoeConfig& moe = config.moe;
  const RoutingMethod method = moe.routing(decoder);
  const std::int64_t rows = shape.rows_of_rank(layout), experts = moe.num_experts;
  CapacityPlan plan;
  plan.positions = rows * shape.length(decoder);
  plan.tokens = rows * shape.real(decoder);
  plan.choices = most_choices(moe, method);
  plan.by_row = sees_whole_row(method);
  plan.capacity = plan.by_row ? rows * row_capacity(moe, method, shape.real(decoder))
                              : training_capacity(moe, plan.positions);
  plan.rows = static_cast<double>(plan.most_rows(experts));
  if (plan.by_row || plan.tokens == 0 || !wants_all_choices(moe, method)) return plan;
  const auto wanted = static_cast<double>(plan.choices * plan.tokens);
  const double dropped = static_cast<double>(experts) *
                         expected_overflow(plan.tokens, experts, plan.capacity, plan.choices);
  plan.dropped_share = dropped / wanted;
  plan.rows = wanted - dropped;
  return plan;
}

}  // namespace switchyard
