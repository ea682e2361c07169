#include "statistics/exchange_cost.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "support/mpi_main.hpp"

namespace switchyard::exchange_cost_test {
namespace {

constexpr int layers = 2;
// Like those of an encoder and a decoder layer.
constexpr std::uint32_t layer_numbers[layers] = {1, 6};

// The time of process p in the i-th transfer of a step: whole milliseconds, with a different
// slowest process per transfer.
double ms_of(std::int64_t p, std::size_t i) { return static_cast<double>(1 + (7 * p + 3 * i) % 5); }
std::int64_t bytes_of(std::int64_t p, std::size_t i) {
  return 100 * (p + 1) + static_cast<std::int64_t>(i);
}

// Forward through both layers, then backward.
std::vector<Transfer> transfers_of(std::int64_t p) {
  using enum Transfer::Direction;
  std::vector<Transfer> step;
  for (const int layer : {0, 1})
    for (const auto direction : {to_experts, to_experts, from_experts})
      step.push_back({layer_numbers[layer], direction, Pass::forward});
  for (const int layer : {1, 0})
    for (const auto direction : {to_experts, from_experts})
      step.push_back({layer_numbers[layer], direction, Pass::backward});
  for (std::size_t i = 0; i < step.size(); ++i) {
    step[i].seconds = ms_of(p, i) / 1000;
    step[i].bytes = bytes_of(p, i);
  }
  return step;
}

ExchangeCost gathered() {
  return gather_exchange(test_world(), transfers_of(test_world().rank().value), layers);
}

// The maximum over processes of the sum of what(p, i) over the transfers for which `counts` is
// true.
template <class What, class Counts>
double slowest(What what, Counts counts) {
  double most = 0;
  for (std::int64_t p = 0; p < test_world().size(); ++p) {
    const std::vector<Transfer> step = transfers_of(p);
    double sum = 0;
    for (std::size_t i = 0; i < step.size(); ++i)
      if (counts(step[i])) sum += what(p, i);
    most = std::max(most, sum);
  }
  return most;
}

double waited(std::int64_t p, std::size_t i) {
  double soonest = ms_of(p, i);
  for (std::int64_t q = 0; q < test_world().size(); ++q) soonest = std::min(soonest, ms_of(q, i));
  return ms_of(p, i) - soonest;
}

template <class Counts>
void expect_times(const ExchangeFigures& figures, Counts counts) {
  using enum Transfer::Direction;
  constexpr double rounding = 1e-5;  // nanoseconds
  EXPECT_NEAR(figures.all_ms, slowest(ms_of, counts), rounding);
  EXPECT_NEAR(
      figures.to_experts_ms,
      slowest(ms_of, [&](const Transfer& t) { return counts(t) && t.direction == to_experts; }),
      rounding);
  EXPECT_NEAR(
      figures.from_experts_ms,
      slowest(ms_of, [&](const Transfer& t) { return counts(t) && t.direction == from_experts; }),
      rounding);
  EXPECT_NEAR(
      figures.backward_ms,
      slowest(ms_of, [&](const Transfer& t) { return counts(t) && t.pass == Pass::backward; }),
      rounding);
  EXPECT_NEAR(figures.waiting_ms, slowest(waited, counts), rounding);
}

TEST(ExchangeCost, HasTheSlowestProcessOfEachTime) {
  const ExchangeCost cost = gathered();
  expect_times(cost.total, [](const Transfer&) { return true; });
  ASSERT_EQ(cost.layers.size(), std::size_t{layers});
  for (std::size_t layer = 0; layer < layers; ++layer)
    expect_times(cost.layers[layer],
                 [&](const Transfer& t) { return t.layer == layer_numbers[layer]; });
}

TEST(ExchangeCost, AddsTheBytesOfAllProcesses) {
  std::int64_t of_layer[layers] = {};
  for (std::int64_t p = 0; p < test_world().size(); ++p)
    for (const Transfer& t : transfers_of(p)) of_layer[t.layer == layer_numbers[1]] += t.bytes;
  const ExchangeCost cost = gathered();
  EXPECT_EQ(cost.layers[0].bytes, of_layer[0]);
  EXPECT_EQ(cost.layers[1].bytes, of_layer[1]);
  EXPECT_EQ(cost.total.bytes, of_layer[0] + of_layer[1]);
}

TEST(ExchangeCost, HasNoWaitingWhereAllAreAlike) {
  const ExchangeCost cost = gather_exchange(test_world(), transfers_of(2), layers);
  EXPECT_EQ(cost.total.waiting_ms, 0);
  EXPECT_GT(cost.total.all_ms, 0);
}

// One process arrives late at every transfer: it finishes at once, and the others have waited for
// it.
TEST(ExchangeCost, CallsWaitingWhatTheOthersSpendUntilTheLastHasCome) {
  const bool late = test_world().rank().value == test_world().size() - 1;
  std::vector<Transfer> step = transfers_of(0);
  for (Transfer& transfer : step) transfer.seconds = late ? 0.001 : 0.005;
  const ExchangeCost cost = gather_exchange(test_world(), step, layers);
  const double waiting = test_world().size() > 1 ? 4.0 * static_cast<double>(step.size()) : 0;
  EXPECT_NEAR(cost.total.waiting_ms, waiting, 1e-5);
}

}  // namespace
}  // namespace switchyard::exchange_cost_test
