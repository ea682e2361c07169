// A checkpoint into live tensors, on any number of processes. It was verified when it was opened
// (checkpoint/store.hpp), so nothing live changes for a damaged one; then it is read into place and
// checked again as it comes. No second copy of what is loaded ever exists.
#pragma once

#include <span>

#include "checkpoint/reader.hpp"
#include "comm/comm.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// whole: a tensor that no process asks for is an error (to go on with a run). part: it is left
// alone (to evaluate, where the optimizer's state is not needed).
enum class Coverage { whole, part };

// into: what this process holds, all dense tensors and its own experts. A tensor missing from the
// checkpoint or of another shape is Error(mismatch) naming it, on every process; `into` is then
// untouched. Error(damaged_data) on every process where a byte is not what it was when the
// checkpoint was opened: `into` is then of no use to anybody, and the job must end. Collective.
void load_checkpoint(const Comm& comm, const CheckpointReader& from,
                     std::span<const NamedTensor> into, Coverage coverage = Coverage::whole);

}  // namespace switchyard
