#include "plan/capacity.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "moe/dispatch_plan.hpp"

namespace switchyard {
namespace {

// log of the probability that x of n tokens draw one of `experts`, for more than one expert.
double log_binomial(std::int64_t n, std::int64_t experts, std::int64_t x) {
  const auto log_factorial = [](std::int64_t k) { return std::lgamma(static_cast<double>(k) + 1); };
  const double p = 1 / static_cast<double>(experts);
  return log_factorial(n) - log_factorial(x) - log_factorial(n - x) +
         static_cast<double>(x) * std::log(p) + static_cast<double>(n - x) * std::log1p(-p);
}

}  // namespace

double expected_overflow(std::int64_t tokens, std::int64_t experts, std::int64_t capacity) {
  assert(tokens >= 0 && experts >= 1 && capacity >= 0);
  if (experts == 1) return static_cast<double>(std::max<std::int64_t>(tokens - capacity, 0));
  double overflow = 0;
  for (std::int64_t x = capacity + 1; x <= tokens; ++x) {
    overflow += static_cast<double>(x - capacity) * std::exp(log_binomial(tokens, experts, x));
  }
  return overflow;
}

std::int64_t training_capacity(const MoeConfig& moe, std::int64_t positions) {
  if (moe.dropless) return positions;
  return expert_capacity(positions, moe.capacity_factor, moe.num_experts, moe.min_capacity);
}

CapacityPlan plan_capacity(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                           bool decoder) {
  const std::int64_t rows = shape.rows_of_rank(layout), experts = config.moe.num_experts;
  CapacityPlan plan;
  plan.positions = rows * shape.length(decoder);
  plan.tokens = rows * shape.real(decoder);
  plan.capacity = training_capacity(config.moe, plan.positions);
  if (plan.tokens > 0) {
    plan.dropped_share = static_cast<double>(experts) *
                         expected_overflow(plan.tokens, experts, plan.capacity) /
                         static_cast<double>(plan.tokens);
  }
  return plan;
}

}  // namespace switchyard
