// How signals ask a training run to stop. A request only raises a flag; the trainer finishes its
// step, saves and leaves. What else may ask (RUN/stop, a time limit) is the trainer's.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <memory>

#include "base/process.hpp"

namespace switchyard {

// While one lives, each of ending_signals raises a flag instead of ending the process; a second
// SIGINT ends it at once, and SIGHUP does nothing where it was ignored, as under nohup. (mpirun
// forwards SIGUSR1; TERM it follows by KILL within a second or two.)
//
// Made and destroyed by the main thread, outside parallel regions. That thread alone handles the
// signals, on a stack of their own: oneDNN's matrix products let the stack pointer walk through
// their buffers, and a handler on the ordinary stack would write over what lies below.
//
// One that is made while another lives shares its flag, so that main can have one before anything
// else and a command asks its own.
class StopSignals {
 public:
  enum class Extent {
    block,    // afterwards the former handlers are back
    process,  // made before there are threads; afterwards, nearly at the end, all are ignored
  };

  explicit StopSignals(Extent extent = Extent::block);  // clears the flag unless it shares one
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const;

 private:
  const Extent extent_;
  std::unique_ptr<std::byte[]> stack_;  // none where it shares another's
  stack_t former_stack_{};
  std::array<struct sigaction, ending_signals.size()> former_{};
};

}  // namespace switchyard
