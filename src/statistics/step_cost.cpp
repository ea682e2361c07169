#include "statistics/step_cost.hpp"

#include <sys/resource.h>

#include <array>
#include <cmath>

namespace switchyard {
namespace {

constexpr auto phases = static_cast<std::size_t>(Phase::count);
constexpr double nanoseconds_of_ms = 1e6;

std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace

StepCost gather_cost(const Comm& comm, const OwnCost& own, std::size_t sparse_layers) {
  std::array<std::int64_t, phases + 3> most{};  // one reduction for all figures
  for (std::size_t i = 0; i < phases; ++i)
    most[i] = nanoseconds(own.timer.seconds(static_cast<Phase>(i)));
  most[phases] = nanoseconds(own.forward_backward_seconds);
  most[phases + 1] = nanoseconds(own.seconds);
  most[phases + 2] = peak_memory_bytes();
  all_reduce_max(comm, most);

  const auto ms = [&](std::size_t i) { return static_cast<double>(most[i]) / nanoseconds_of_ms; };
  StepCost cost;
  for (std::size_t i = 0; i < phases; ++i) cost.phase_ms[i] = ms(i);
  cost.forward_backward_ms = ms(phases);
  cost.step_ms = ms(phases + 1);
  cost.peak_memory = most[phases + 2];
  if (sparse_layers > 0)
    cost.exchange = gather_exchange(comm, own.timer.transfers(), sparse_layers);
  return cost;
}

}  // namespace switchyard
