// Where the time of a step goes: one stopwatch per phase, and a record of each transfer of rows
// between processes. Passed down as an argument. It only reads the clock; no number that training
// computes depends on it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/buffer.hpp"

namespace switchyard {

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

enum class Phase : std::size_t {
  embedding,
  attention,
  feed_forward,
  routing,
  experts,
  logits,
  reduction,
  optimizer,
  input,
  count
};

inline constexpr std::array<const char*, static_cast<std::size_t>(Phase::count)> phase_names = {
    "embedding", "attention", "feed_forward", "routing", "experts",
    "logits",    "reduction", "optimizer",    "input"};

enum class Pass { forward, backward };

// One collective in the token exchange of a sparse layer, as one process measured it, including the
// time it waited for the others. All processes take part in the same transfers in the same order.
struct Transfer {
  enum class Direction { to_experts, from_experts };

  std::uint32_t layer = 0;  // counted through both stacks
  Direction direction = Direction::to_experts;
  Pass pass = Pass::forward;
  std::int64_t bytes = 0;  // of rows sent to other processes
  double seconds = 0;
};

class PhaseTimer {
 public:
  void add(Phase phase, double seconds) { seconds_[static_cast<std::size_t>(phase)] += seconds; }
  double seconds(Phase phase) const { return seconds_[static_cast<std::size_t>(phase)]; }
  void add(const Transfer& transfer) { transfers_.push_back(transfer); }
  const Buffer<Transfer>& transfers() const { return transfers_; }

 private:
  std::array<double, static_cast<std::size_t>(Phase::count)> seconds_{};
  Buffer<Transfer> transfers_;
};

// Adds its own lifetime to the time of one phase.
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

// Adds its own lifetime to `seconds`.
class ScopedSeconds {
 public:
  explicit ScopedSeconds(double& seconds)
      : seconds_(seconds), start_(std::chrono::steady_clock::now()) {}
  ~ScopedSeconds() { seconds_ += seconds_since(start_); }
  ScopedSeconds(const ScopedSeconds&) = delete;
  ScopedSeconds& operator=(const ScopedSeconds&) = delete;

 private:
  double& seconds_;
  std::chrono::steady_clock::time_point start_;
};

// Records one transfer; the object's lifetime is the transfer's duration.
class ScopedTransfer {
 public:
  ScopedTransfer(PhaseTimer& timer, const Transfer& transfer)
      : timer_(timer), transfer_(transfer), start_(Clock::now()) {}
  ~ScopedTransfer() {
    transfer_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    timer_.add(transfer_);
  }
  ScopedTransfer(const ScopedTransfer&) = delete;
  ScopedTransfer& operator=(const ScopedTransfer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  PhaseTimer& timer_;
  Transfer transfer_;
  Clock::time_point start_;
};

}  // namespace switchyard
