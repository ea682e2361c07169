#include "statistics/exchange_cost.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdint>

#include "base/buffer.hpp"

namespace switchyard {
namespace {

// The quantities to reduce over processes, in integer nanoseconds so that maxima and minima are
// exact.
enum Column : std::size_t { all, to_experts, from_experts, backward, waiting, columns };
using Times = std::array<std::int64_t, columns>;

std::int64_t nanoseconds(const Transfer& transfer) { return std::llround(transfer.seconds * 1e9); }

// For each transfer, the shortest time that any process spent in it. Collective.
Buffer<std::int64_t> soonest(const Comm& comm, std::span<const Transfer> own) {
  Buffer<std::int64_t> times;
  for (const Transfer& transfer : own) times.push_back(-nanoseconds(transfer));
  all_reduce_max(comm, times);
  for (std::int64_t& time : times) time = -time;
  return times;
}

void add(const Transfer& transfer, std::int64_t soonest, Times& times) {
  const std::int64_t time = nanoseconds(transfer);
  times[all] += time;
  times[transfer.direction == Transfer::Direction::to_experts ? to_experts : from_experts] += time;
  if (transfer.pass == Pass::backward) times[backward] += time;
  times[waiting] += time - soonest;
}

// The numbers of the sparse layers in ascending order, which is their order in the model.
Buffer<std::uint32_t> layer_numbers(std::span<const Transfer> transfers) {
  Buffer<std::uint32_t> numbers;
  for (const Transfer& transfer : transfers) numbers.push_back(transfer.layer);
  std::ranges::sort(numbers);
  const auto repeated = std::ranges::unique(numbers);
  numbers.erase(repeated.begin(), repeated.end());
  return numbers;
}

ExchangeFigures figures(std::span<const std::int64_t> times, std::int64_t bytes) {
  const auto ms = [&](Column column) { return static_cast<double>(times[column]) / 1e6; };
  return {.all_ms = ms(all),
          .to_experts_ms = ms(to_experts),
          .from_experts_ms = ms(from_experts),
          .backward_ms = ms(backward),
          .waiting_ms = ms(waiting),
          .bytes = bytes};
}

}  // namespace

ExchangeCost gather_exchange(const Comm& comm, std::span<const Transfer> own, std::size_t layers) {
  const Buffer<std::uint32_t> numbers = layer_numbers(own);
  assert(numbers.size() == layers);
  const Buffer<std::int64_t> quickest = soonest(comm, own);

  // One entry per layer in order, then one for all layers together.
  Buffer<Times> times(layers + 1, Times{});
  Buffer<std::int64_t> bytes(layers + 1, 0);
  for (std::size_t i = 0; i < own.size(); ++i) {
    const auto layer =
        static_cast<std::size_t>(std::ranges::lower_bound(numbers, own[i].layer) - numbers.begin());
    for (const std::size_t row : {layer, layers}) {
      add(own[i], quickest[i], times[row]);
      bytes[row] += own[i].bytes;
    }
  }
  Buffer<std::int64_t> slowest;  // the process with the largest value of each figure
  for (const Times& row : times) slowest.insert(slowest.end(), row.begin(), row.end());
  all_reduce_max(comm, slowest);
  all_reduce_sum(comm, bytes);

  const auto row = [&](std::size_t i) {
    return figures(std::span(slowest).subspan(i * columns, columns), bytes[i]);
  };
  ExchangeCost cost;
  cost.total = row(layers);
  for (std::size_t layer = 0; layer < layers; ++layer) cost.layers.push_back(row(layer));
  return cost;
}

}  // namespace switchyard
