// Command lines for people to paste into their shell: words quoted, paths that hold where they
// stand. Knows where this program and its launch scripts lie, nothing of what commands do.
#pragma once

#include <span>
#include <string>

namespace switchyard {

// The words as a shell reads them again; only those that need it are quoted.
std::string shell_text(std::span<const std::string> words);

// This program with `words`, as one process: "build/release/switchyard train --output runs/a".
std::string program_command_line(std::span<const std::string> words);

// The same on several processes of this host: "launch/local.sh -n 2 -t 1 train --output runs/a"; by
// mpirun itself where the program has no launch scripts beside it.
std::string local_command_line(int processes, int threads, std::span<const std::string> words);

// A job as it runs now: the host of each rank, its threads, and whether it is bound to cores.
struct Placement {
  std::span<const std::string> hosts;
  int threads = 1;
  bool bound = false;
};

// What starts the same job again from any host: on one of them by local.sh, where it is there, else
// by mpirun, which is told the hosts: "OMP_NUM_THREADS=1 mpirun --host n1:2,n2:2 -n 4 … train".
std::string job_command_line(const Placement& job, std::span<const std::string> words);

}  // namespace switchyard
