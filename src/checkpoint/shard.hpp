// A shard: the tensors that one process wrote, end to end, each starting at a multiple of 64 bytes.
// The manifest says where things are, and CheckpointReader reads them. Not collective.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "checkpoint/manifest.hpp"
#include "files/env.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

std::string shard_name(std::int64_t process);  // 3 -> "shard-00003.bin"

// Tensors one after another, then nothing. The data of one need live until the next is asked for.
using TensorStream = std::function<std::optional<NamedTensor>()>;

// Creates the file and makes it durable. The report's tensors have all but their file's index.
ShardReport write_shard(Env& env, const std::string& directory, const std::string& name,
                        const TensorStream& next_tensor);

}  // namespace switchyard
