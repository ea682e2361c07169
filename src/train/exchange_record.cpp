#include "train/exchange_record.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdint>

#include "base/buffer.hpp"

namespace switchyard {
namespace {

// Nanoseconds, so that the largest and the smallest are exact.
enum Column : std::size_t { all, to_experts, from_experts, backward, waiting, columns };
using Times = std::array<std::int64_t, columns>;

std::int64_t nanoseconds(const Transfer& transfer) { return std::llround(transfer.seconds * 1e9); }

// Of each transfer, the time of the process that was through soonest.
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

// The numbers of the sparse layers, ascending: the order of the record's layers.
Buffer<std::uint32_t> layer_numbers(std::span<const Transfer> transfers) {
  Buffer<std::uint32_t> numbers;
  for (const Transfer& transfer : transfers) numbers.push_back(transfer.layer);
  std::ranges::sort(numbers);
  const auto repeated = std::ranges::unique(numbers);
  numbers.erase(repeated.begin(), repeated.end());
  return numbers;
}

// Into the record or one of its layers: they have the same fields.
template <class Record>
void write(std::span<const std::int64_t> times, std::int64_t bytes, Record& record) {
  const auto ms = [&](Column column) { return static_cast<double>(times[column]) / 1e6; };
  record.set_a2a_ms(ms(all));
  record.set_a2a_dispatch_ms(ms(to_experts));
  record.set_a2a_combine_ms(ms(from_experts));
  record.set_a2a_backward_ms(ms(backward));
  record.set_a2a_wait_ms(ms(waiting));
  record.set_a2a_bytes(bytes);
}

}  // namespace

void record_exchange(const Comm& comm, std::span<const Transfer> own, StepRecord& record) {
  const auto layers = static_cast<std::size_t>(record.layers_size());
  if (layers == 0) return;
  const Buffer<std::uint32_t> numbers = layer_numbers(own);
  assert(numbers.size() == layers);
  const Buffer<std::int64_t> quickest = soonest(comm, own);

  // The layers in order, then all of them together.
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
  Buffer<std::int64_t> slowest;  // process of each figure
  for (const Times& row : times) slowest.insert(slowest.end(), row.begin(), row.end());
  all_reduce_max(comm, slowest);
  all_reduce_sum(comm, bytes);

  for (std::size_t row = 0; row < layers; ++row) {
    StepRecord::LayerExchange& layer = *record.add_layer_exchanges();
    layer.set_layer(record.layers(static_cast<int>(row)).layer());
    write(std::span(slowest).subspan(row * columns, columns), bytes[row], layer);
  }
  write(std::span(slowest).subspan(layers * columns, columns), bytes[layers], record);
}

}  // namespace switchyard
