// Checks the conditions of a job before a command runs: that all processes run one program on one
// kind of machine, started by a launcher of this MPI, with no more threads than cores.
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

// Throws Error(mismatch) where the launcher of another MPI started the program as one of several
// tasks.
void require_own_launcher(const Comm& world);

// Whether this process is restricted to fewer cores than its host has.
bool is_bound_to_cores();

// Throws Error(mismatch) where processes run different programs, have different arguments, or would
// compute different bits. Collective.
void require_one_job(const Comm& world, std::span<const std::string> words);

// Warns about BFLOAT16 on a CPU without bf16 instructions, where it saves memory and traffic but no
// time.
void warn_of_slow_precision(Precision precision, Bfloat16Support support, Log& log);

// Error(mismatch) where processes have different configurations: each reads its files itself,
// possibly from the local disk of its host. Collective.
void require_one_configuration(const Comm& world, const RunConfig& config);

// Warns on rank 0 where the processes of a host have more threads than cores they may use, and
// suggests a command line that fits. `words` is the command with its arguments. Collective.
void warn_of_crowding(const Comm& world, std::span<const std::string> words);

struct Cores {
  int of_host = 1;
  int bound = 1;                // cores that each process is bound to
  std::optional<double> quota;  // cores' worth of time that the control group allows
};

// The advice for `processes` x `threads` on a host with these cores; "" where there is nothing to
// say.
std::string crowding_advice(int processes, int threads, const Cores& cores,
                            std::span<const std::string> words);

}  // namespace switchyard
