// Checks of a job's circumstances before a command runs: one program on one kind of machine,
// started by the launcher it believes in, with no more threads than cores.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/host.hpp"
#include "base/log.hpp"
#include "comm/comm.hpp"
#include "model/config.hpp"
#include "run.pb.h"
#include "tensor/instruction_set.hpp"

namespace switchyard {

// Throws Error(mismatch) when another MPI's launcher started the program as one of several tasks.
void require_own_launcher(const Comm& world);

// Whether this process may use fewer cores than its host has.
bool is_bound_to_cores();

// Throws Error(mismatch) when processes run different programs, were given other words, or would
// compute different bits. Collective.
void require_one_job(const Comm& world, std::span<const std::string> words);

// Warns of BFLOAT16 on a CPU without bf16 products, where it saves memory and traffic but no time.
void warn_of_slow_precision(Precision precision, Bfloat16Support support, Log& log);

// Error(mismatch) where processes have different ones: each reads its files itself, perhaps from
// its own host's disk. Collective.
void require_one_configuration(const Comm& world, const RunConfig& config);

// Warns, on rank 0, where the threads of a host's processes exceed the cores they may use; with the
// command line that would fit. `words` is the command with its arguments. Collective.
void warn_of_crowding(const Comm& world, std::span<const std::string> words);

struct Cores {
  int of_host = 1;
  int bound = 1;                // to which each process is bound
  std::optional<double> quota;  // the time of so many that the control group may take
};

// The line of advice for `processes` x `threads` on a host with these cores; "" where all is well.
std::string crowding_advice(int processes, int threads, const Cores& cores,
                            std::span<const std::string> words);

}  // namespace switchyard
