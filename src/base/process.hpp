// How the program behaves as a process. Signals end it at once, as by default, but temporary
// directories are removed first; and its standard streams may be closed, full or without a reader.
// The signals that ask a training run to stop are handled in train/stop.hpp.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <string>

namespace switchyard {

// The signals that end a process which does not handle them: sent by a closing terminal, Ctrl-C, a
// scheduler, mpirun, or a limit on processor time.
inline constexpr std::array ending_signals = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXCPU};

// While this object lives, a signal that ends the process also removes `directory` and all its
// contents. Only a few objects can be registered at once; one beyond that number, or with too long
// a path, is not registered.
class RemovedOnSignal {
 public:
  explicit RemovedOnSignal(const std::string& directory);
  ~RemovedOnSignal();
  RemovedOnSignal(const RemovedOnSignal&) = delete;
  RemovedOnSignal& operator=(const RemovedOnSignal&) = delete;

 private:
  std::size_t place_;
};

// Removes the directories of all living RemovedOnSignal objects and ends the process by `signal`.
// For use in signal handlers: it calls only async-signal-safe functions.
[[noreturn]] void end_by_signal(int signal);

// Installs end_by_signal for all ending_signals, except for SIGHUP where it is ignored, as under
// nohup.
void remove_directories_on_signals();

// Asks the kernel to kill this process when the process that started it ends for any reason.
void end_with_parent();

// Ignores SIGPIPE (the reader of the output is gone) and SIGXFSZ (a limit on file sizes), which
// should not end the program. The write then fails with its own error.
void ignore_failing_writes();

// Opens /dev/null for each of stdin, stdout and stderr that is closed. Otherwise the next file to
// be opened would get that descriptor and receive what is printed.
void open_standard_streams();

// Whether nobody can ever read what is written to `fd`: the reader of the pipe has exited, or the
// terminal is gone.
bool has_lost_its_reader(int fd);

bool is_ignored(int signal);

}  // namespace switchyard
