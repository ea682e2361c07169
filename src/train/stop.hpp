// How signals ask a training run to stop. A signal only sets a flag; the trainer finishes its step,
// saves and returns. The other reasons to stop (RUN/stop, a time limit) are handled by the trainer.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <memory>

#include "base/process.hpp"

namespace switchyard {

// While an object lives, each of ending_signals sets a flag instead of ending the process. A second
// SIGINT ends it at once, and SIGHUP has no effect where it was ignored, as under nohup. (mpirun
// forwards SIGUSR1; after SIGTERM it sends SIGKILL within a second or two.)
//
// Must be created and destroyed by the main thread, outside parallel regions. Only the main thread
// handles the signals, on a separate stack: inside oneDNN's matrix products the stack pointer moves
// through their buffers, and a handler on the ordinary stack would overwrite the data below it.
//
// An object created while another lives shares that one's flag, so main can create one before
// anything else and a command can query its own.
class StopSignals {
 public:
  enum class Extent {
    block,    // the previous handlers are restored at the end
    process,  // created before other threads; at the end, when the process is about to exit,
              // signals are ignored
  };

  explicit StopSignals(Extent extent = Extent::block);  // clears the flag unless it is shared
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const;

 private:
  const Extent extent_;
  std::unique_ptr<std::byte[]> stack_;  // null where another object's is shared
  stack_t former_stack_{};
  std::array<struct sigaction, ending_signals.size()> former_{};
};

}  // namespace switchyard
