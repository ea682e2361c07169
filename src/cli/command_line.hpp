// Command lines for people to paste into their shell: words are quoted, and paths are valid from
// the working directory. It knows where the program and its launch scripts are, and nothing of what
// commands do.
#pragma once

#include <span>
#include <string>

#include "comm/job.hpp"

namespace switchyard {

// The words in shell syntax; only words that need quotes get them.
std::string shell_text(std::span<const std::string> words);

// Runs this program with `words` as one process: "build/release/switchyard train --output runs/a".
std::string program_command_line(std::span<const std::string> words);

// The same with several processes on this host: "launch/local.sh -n 2 -t 1 train --output runs/a",
// or with mpirun where the program has no launch scripts beside it.
std::string local_command_line(int processes, int threads, std::span<const std::string> words);

// How the current job is placed: its hosts with their processes, threads per process, and whether
// processes are bound to cores.
struct Placement {
  std::span<const HostShare> hosts;
  int threads = 1;
  bool bound = false;
  std::string launcher = "";  // the words of the script that placed it, if it tells
};

// What launch/cluster.sh tells the processes that it starts; "" if another has started this one.
std::string launcher_of_job();

// Starts the same job again from any of its hosts: with the launcher that placed it; with local.sh
// if the job has one host and the script exists, otherwise with mpirun and the list of hosts:
// "OMP_NUM_THREADS=1 mpirun --host n1:2,n2:2 -n 4 … train".
std::string job_command_line(const Placement& job, std::span<const std::string> words);

}  // namespace switchyard
