// Writing a checkpoint: all of it or nothing. The directory is written under another name, made
// durable, and renamed last; a reader never sees half of one.
//
//   step-00000100.tmp-<attempt>/   shard-00000.bin … one per process, MANIFEST last
//   step-00000100/                 the same after the rename: the commit
//
// Worked example, R = 2, dense tensors a (400 bytes) and b (300), experts e0 e1 of 100 bytes each:
// both processes begin with the 100 bytes of their expert; a, the largest, goes to process 0, b to
// process 1.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "checkpoint/run_state.hpp"
#include "checkpoint/shard.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "files/env.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// Saves state.step into `checkpoints_directory` (made if absent). `tensors`: all dense tensors, in
// the same order on every process, and this process's experts. Each tensor is written once: a dense
// one by the process that plan_dense_writers names, an expert's by the owner in group 0. A valid
// checkpoint of the same step is left as it is, a damaged one replaced. Returns the checkpoint's
// directory when it is durable. An error of any process fails the save on all, with its reason, and
// removes what was written. Collective.
std::string save_checkpoint(Env& env, const Comm& comm, const Layout& layout,
                            const std::string& checkpoints_directory, const RunState& state,
                            std::span<const NamedTensor> tensors);

// The same from one process, of tensors that are made one after another: memory need hold one.
std::string save_checkpoint(Env& env, const Comm& alone, const Layout& layout,
                            const std::string& checkpoints_directory, const RunState& state,
                            const TensorStream& next_tensor);

// writer[i]: the process that writes dense tensor i. Largest first (earlier first on ties), each to
// the process with the fewest bytes so far (lowest first on ties); load: the bytes each process
// begins with.
std::vector<Rank> plan_dense_writers(std::span<const std::int64_t> bytes,
                                     std::vector<std::int64_t> load);

}  // namespace switchyard
