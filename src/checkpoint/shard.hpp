// A shard: the tensors that one process wrote, one after another, each starting at a multiple of 64
// bytes. The manifest records where each tensor is, and CheckpointReader reads them. Not
// collective.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "checkpoint/manifest.hpp"
#include "files/env.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

std::string shard_name(std::int64_t process);  // 3 -> "shard-00003.bin"

// Returns one tensor after another, then nullopt. A tensor's data must stay valid until the next
// call.
using TensorStream = std::function<std::optional<NamedTensor>()>;

// Creates the file and makes it durable. The returned tensor entries are complete except for the
// index of their file.
ShardReport write_shard(Env& env, const std::string& directory, const std::string& name,
                        const TensorStream& next_tensor);

}  // namespace switchyard
