// Who may ask a training run to stop, and how: signals, the file RUN/stop, a time limit. A request
// only raises a flag; the trainer finishes its step, saves and leaves.
#pragma once

#include <csignal>

namespace switchyard {

// While one lives, SIGINT, SIGTERM and SIGUSR1 raise a flag instead of ending the process; a second
// SIGINT ends it at once. (mpirun forwards SIGUSR1; TERM it follows by KILL within a second or
// two.)
class StopSignals {
 public:
  StopSignals();   // clears the flag
  ~StopSignals();  // the former handlers are back
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const;

 private:
  struct sigaction interrupt_ {
  }, terminate_{}, user_{};
};

}  // namespace switchyard
