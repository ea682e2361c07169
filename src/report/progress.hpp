// Step lines as training goes: every log_interval steps one that stays, and on a terminal a live
// line between them. Keeps the clock for the averages and for the time left. Process 0 alone
// speaks.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/log.hpp"
#include "report/step_line.hpp"

namespace switchyard {

class Progress {
 public:
  // live: the log's console is a terminal.
  Progress(Log& log, bool live, std::int64_t steps, std::int64_t log_interval)
      : log_(log), live_(live), steps_(steps), log_interval_(log_interval) {}

  // Called after every step. The first of a start is left out of all averages: it pays for what
  // later steps find ready.
  void step(const StepRecord& record);
  // A line of another kind, without ruining the live one.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;

  Pace pace(const StepRecord& record) const;
  void show_live(const std::string& line);
  void erase_live();

  Log& log_;
  bool live_;
  std::int64_t steps_, log_interval_;

  std::int64_t taken_ = 0;         // steps of this start
  Clock::time_point first_ended_;  // when its first step had ended
  std::int64_t averaged_ = 0;      // steps since the last line, the first of a start left out
  double step_ms_ = 0, a2a_ms_ = 0, tokens_ = 0;  // sums over them
  Clock::time_point shown_;                       // when the live line last changed
  bool visible_ = false;                          // whether one stands on the terminal
};

}  // namespace switchyard
