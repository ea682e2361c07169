#include "report/progress.hpp"

#include <cstdio>
#include <string>

namespace switchyard {

void Progress::step(const StepRecord& record) {
  if (++taken_ == 1) {
    first_ended_ = Clock::now();
  } else {
    ++averaged_;
    step_ms_ += record.step_ms();
    a2a_ms_ += record.a2a_ms();
    tokens_ += record.tokens_per_second() * record.step_ms() / 1000;
  }
  const bool stays = record.step() % log_interval_ == 0 || record.step() == steps_;
  if (stays) {
    say(step_line(record, pace(record)));
    averaged_ = 0;
    step_ms_ = a2a_ms_ = tokens_ = 0;
  } else if (live_) {
    show_live(step_line(record, pace(record)));
  }
}

Pace Progress::pace(const StepRecord& record) const {
  Pace pace{.steps = steps_,
            .step_ms = record.step_ms(),
            .a2a_ms = record.a2a_ms(),
            .tokens_per_second = record.tokens_per_second(),
            .seconds_left = std::nullopt};
  if (averaged_ > 0) {
    pace.step_ms = step_ms_ / static_cast<double>(averaged_);
    pace.a2a_ms = a2a_ms_ / static_cast<double>(averaged_);
    pace.tokens_per_second = tokens_ / (step_ms_ / 1000);
  }
  if (taken_ > 1) {
    const std::chrono::duration<double> since = Clock::now() - first_ended_;
    pace.seconds_left = since.count() / static_cast<double>(taken_ - 1) *
                        static_cast<double>(steps_ - record.step());
  }
  return pace;
}

void Progress::say(const std::string& line) {
  erase_live();
  log_.info(line);
}

void Progress::show_live(const std::string& line) {
  const auto now = Clock::now();
  if (now - shown_ < std::chrono::milliseconds(100)) return;
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  shown_ = now;
  visible_ = true;
}

void Progress::erase_live() {
  if (!visible_) return;
  std::fputs("\r\033[K", stderr);
  visible_ = false;
}

}  // namespace switchyard
