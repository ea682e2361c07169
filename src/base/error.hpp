// The one exception type for what a user or the environment did wrong, and the program's exit
// codes. Programmer errors are assertions, never an Error. This file knows nothing of MPI or files.
#pragma once

#include <stdexcept>
#include <string>

namespace switchyard {

enum class ExitCode : int {
  done = 0,
  unexpected = 1,
  usage = 64,         // command line or configuration
  damaged_data = 65,  // damaged data, or no valid checkpoint
  missing_input = 66,
  machine_cannot = 69,  // missing CPU instructions, or too little memory
  diverged = 70,
  silent_corruption = 71,
  output_not_writable = 73,
  io_error = 74,
  preempted = 75,  // a checkpoint was saved: start again to continue
  watchdog = 76,
  unsafe_path = 77,
  mismatch = 78,  // between configuration and run, or between ranks
};

// `message`: one sentence that says what is wrong and where (file:line, field, rank). `hint`: what
// the user can do about it.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message, std::string hint = "")
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

  ExitCode code() const { return code_; }
  const std::string& hint() const { return hint_; }

 private:
  ExitCode code_;
  std::string hint_;
};

}  // namespace switchyard
