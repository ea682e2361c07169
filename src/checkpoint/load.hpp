// Reading a checkpoint into live tensors, on any number of processes: nothing live changes before
// every byte is verified on every process.
#pragma once

#include <span>
#include <string>

#include "checkpoint/run_state.hpp"
#include "comm/comm.hpp"
#include "files/env.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// Not collective. Error(damaged_data), Error(missing_input).
RunState read_run_state(const Env& env, const std::string& checkpoint_directory);

// whole: a tensor that no process asks for is an error (to go on with a run). part: it is left
// alone (to evaluate, where the optimizer's state is not needed).
enum class Coverage { whole, part };

// into: what this process holds, all dense tensors and its own experts. Reads into scratch as large
// as that, verifies, agrees with all processes, then copies. A tensor missing from the checkpoint
// or of another shape is Error(mismatch) naming it, damage is Error(damaged_data); in both cases
// `into` is untouched on every process. Collective.
void load_checkpoint(const Env& env, const Comm& comm, const std::string& checkpoint_directory,
                     std::span<const NamedTensor> into, Coverage coverage = Coverage::whole);

}  // namespace switchyard
