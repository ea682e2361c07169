// Writes a checkpoint completely or not at all. The directory is written under a temporary name,
// made durable, and renamed last, so that a reader never sees an incomplete checkpoint.
//
//   step-00000100.tmp-<attempt>/   shard-00000.bin … one per process, MANIFEST last
//   step-00000100/                 the same after the rename: the commit
//
// The shards of more than 256 processes lie in subdirectories of 100: shards-003/shard-00312.bin.
//
// Worked example, R = 2, dense tensors a (400 bytes) and b (300), experts e0 e1 of 100 bytes each:
// each process starts with the 100 bytes of its expert; a, the largest tensor, goes to process 0, b
// to process 1 (checkpoint/share_out.hpp).
#pragma once

#include <span>
#include <string>

#include "checkpoint/run_state.hpp"
#include "checkpoint/shard.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "files/env.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// Saves step state.step in `checkpoints_directory`, which is created if absent. `tensors`: all
// dense tensors, in the same order on every process, and those of this process's experts. Each
// tensor is written once: a dense one by the process that share_out names, or by the only one that
// holds it (NamedTensor::first is set), which must hold all of it; an expert's by its owner in
// group 0. A valid checkpoint of the same step is kept, a damaged one replaced. Returns the
// checkpoint's directory once it is durable. An error on any process fails the save on all of them,
// with its reason, and what was written is removed. `most_side_by_side`: with how many processes at
// most the shards lie in no subdirectories. Collective.
std::string save_checkpoint(Env& env, const Comm& comm, const Layout& layout,
                            const std::string& checkpoints_directory, const RunState& state,
                            std::span<const NamedTensor> tensors,
                            std::int64_t most_side_by_side = most_shards_side_by_side);

// The same on one process, for tensors that are produced one after another, so that only one need
// be in memory at a time.
std::string save_checkpoint(Env& env, const Comm& alone, const Layout& layout,
                            const std::string& checkpoints_directory, const RunState& state,
                            const TensorStream& next_tensor);

}  // namespace switchyard
