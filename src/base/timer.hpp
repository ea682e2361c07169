// Where a step's time goes: one stopwatch a phase, passed down as an argument. Reads the clock
// only; no number that training computes depends on it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

namespace switchyard {

enum class Phase : std::size_t {
  embedding,
  attention,
  feed_forward,
  routing,
  exchange,
  exchange_wait,
  experts,
  logits,
  reduction,
  optimizer,
  input,
  count
};

inline constexpr std::array<const char*, static_cast<std::size_t>(Phase::count)> phase_names = {
    "embedding", "attention", "feed_forward", "routing",   "exchange", "exchange_wait",
    "experts",   "logits",    "reduction",    "optimizer", "input"};

class PhaseTimer {
 public:
  void add(Phase phase, double seconds) { seconds_[static_cast<std::size_t>(phase)] += seconds; }
  double seconds(Phase phase) const { return seconds_[static_cast<std::size_t>(phase)]; }
  void reset() { seconds_.fill(0); }

 private:
  std::array<double, static_cast<std::size_t>(Phase::count)> seconds_{};
};

// Adds the time of its own life to one phase.
class ScopedPhase {
 public:
  ScopedPhase(PhaseTimer& timer, Phase phase)
      : timer_(timer), phase_(phase), start_(Clock::now()) {}
  ~ScopedPhase() {
    timer_.add(phase_, std::chrono::duration<double>(Clock::now() - start_).count());
  }
  ScopedPhase(const ScopedPhase&) = delete;
  ScopedPhase& operator=(const ScopedPhase&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  PhaseTimer& timer_;
  Phase phase_;
  Clock::time_point start_;
};

}  // namespace switchyard
