// Who may ask a training run to stop, and how: signals, the file RUN/stop, a time limit. A request
// only raises a flag; the trainer finishes its step, saves and leaves.
#pragma once

#include <csignal>
#include <cstddef>
#include <memory>

namespace switchyard {

// While one lives, SIGINT, SIGTERM and SIGUSR1 raise a flag instead of ending the process; a second
// SIGINT ends it at once. (mpirun forwards SIGUSR1; TERM it follows by KILL within a second or
// two.)
//
// Made and destroyed by the main thread, outside parallel regions. That thread alone handles the
// signals, on a stack of their own: oneDNN's matrix products let the stack pointer walk through
// their buffers, and a handler on the ordinary stack would write over what lies below.
class StopSignals {
 public:
  StopSignals();   // clears the flag
  ~StopSignals();  // the former handlers are back
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const;

 private:
  std::unique_ptr<std::byte[]> stack_;
  stack_t former_stack_{};
  struct sigaction interrupt_ {
  }, terminate_{}, user_{};
};

}  // namespace switchyard
