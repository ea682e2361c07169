// What a program owes its surroundings: signals end it at once, as by default, but no directories
// stay behind that are of no use to anybody else; and its standard streams may be closed, full or
// read by nobody. Signals that ask a training run to stop are train/stop.hpp's.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <string>

namespace switchyard {

// What asks a process to end, and ends it where nobody handles it: a terminal that is closed,
// Ctrl-C, a scheduler, mpirun, a limit on processor time.
inline constexpr std::array ending_signals = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXCPU};

// While one lives, `directory` is removed with all that is in it when a signal ends the process. A
// few can live at once; one too many, or too long a name, is not remembered.
class RemovedOnSignal {
 public:
  explicit RemovedOnSignal(const std::string& directory);
  ~RemovedOnSignal();
  RemovedOnSignal(const RemovedOnSignal&) = delete;
  RemovedOnSignal& operator=(const RemovedOnSignal&) = delete;

 private:
  std::size_t place_;
};

// Removes what the living RemovedOnSignal name, and ends the process by this signal. For handlers:
// it calls only what may be called in one.
[[noreturn]] void end_by_signal(int signal);

// Has end_by_signal handle all ending_signals; SIGHUP not where it is ignored, as under nohup.
void remove_directories_on_signals();

// Has the kernel kill this process when the one that started it ends, however that ends.
void end_with_parent();

// What is not meant to end a program: a reader of its output that is gone (SIGPIPE) and a limit on
// the size of files (SIGXFSZ). The write then fails with a reason of its own.
void ignore_failing_writes();

// Opens /dev/null for each of stdin, stdout and stderr that is closed: the next file to be opened
// would take its place, and get what is printed.
void open_standard_streams();

// Whether nobody will ever read what is written there: a pipe's reader has ended, a terminal is
// gone.
bool has_lost_its_reader(int fd);

bool is_ignored(int signal);

}  // namespace switchyard
