// Loads a checkpoint into live tensors, on any number of processes. The checkpoint was verified
// when it was opened (checkpoint/store.hpp), so a damaged one changes no live tensor. The data are
// then read directly into place and verified again, without a second copy in memory. A dense tensor
// is read by one process of each host and handed to the others; where each process holds a part of
// it, each reads the whole, to verify it, and keeps its part.
#pragma once

#include <span>

#include "checkpoint/reader.hpp"
#include "comm/comm.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// whole: a tensor in the checkpoint that no process loads is an error (for resuming a run). part:
// such tensors are ignored (for evaluation, which does not need the optimizer's state).
enum class Coverage { whole, part };

// `into`: the tensors of this process, all dense ones (the same on every process) and those of its
// own experts. A tensor that is missing from the checkpoint or has another shape is
// Error(mismatch), which names it, on every process; `into` is then unchanged. Error(damaged_data)
// on every process where bytes have changed since the checkpoint was opened: `into` is then
// undefined and the job must end. Collective.
void load_checkpoint(const Comm& comm, const CheckpointReader& from,
                     std::span<const NamedTensor> into, Coverage coverage = Coverage::whole);

}  // namespace switchyard
