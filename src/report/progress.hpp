// Step lines during training: a permanent one every log_interval steps and, on a terminal, a live
// line in between. Keeps the time for averages and for the estimate of the time left. Only process
// 0 prints.
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

  // Called after every step. The first step of a start is excluded from all averages, because it
  // includes one-time costs.
  void step(const StepRecord& record);
  // Prints another kind of line without garbling the live line.
  void say(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;

  Pace pace(const StepRecord& record) const;
  void show_live(const std::string& line);
  void erase_live();

  Log& log_;
  bool live_;
  std::int64_t steps_, log_interval_;

  std::int64_t taken_ = 0;         // steps in this start
  Clock::time_point first_ended_;  // end of the first step in this start
  std::int64_t averaged_ = 0;      // steps since the last line, without the first step of the start
  double step_ms_ = 0, a2a_ms_ = 0, tokens_ = 0;  // sums over these steps
  Clock::time_point shown_;                       // when the live line last changed
  bool visible_ = false;                          // whether a live line is on the terminal
};

}  // namespace switchyard
