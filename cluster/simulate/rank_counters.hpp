// What each simulated process has sent and allocated. All processes are turns of one thread, so the
// counters are kept by SimGrid's number of the process that has the turn. It knows no step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace switchyard::simulated {

// What messages carry: rows to experts and back; gradients (and weights); counts, norms and
// figures.
enum class Cargo : std::size_t { rows, gradients, figures, count };
inline constexpr std::size_t cargoes = static_cast<std::size_t>(Cargo::count);

struct Sent {
  std::int64_t messages = 0, bytes = 0;
};

struct RankCounters {
  std::array<Sent, cargoes> sent;
  std::int64_t held = 0;                 // bytes allocated and not yet freed
  std::int64_t most = 0;                 // the most held since start_period
  std::int64_t largest = 0;              // the largest single allocation since then
  std::array<void*, 12> largest_from{};  // and the calls that led to it, innermost first
};

// Those of the process that has the turn.
RankCounters& own_counters();

// Counts allocations from here on; before, SimGrid has no processes.
void start_counting();
// Forgets the largest allocation and the most held.
void start_period(RankCounters& own);

}  // namespace switchyard::simulated
