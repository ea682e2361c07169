// A shard: the tensors that one process wrote, one after another, each starting at a multiple of 64
// bytes. The manifest records where each tensor is, and CheckpointReader reads them. Not
// collective.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/manifest.hpp"
#include "files/env.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// Up to this many shards lie side by side. More of them lie in subdirectories, since shared file
// systems slow down when very many processes create files in one directory at the same time.
inline constexpr std::int64_t most_shards_side_by_side = 256;
inline constexpr std::int64_t shards_in_subdirectory = 100;

// The path of a process's shard within the checkpoint: process 3 of 4 has "shard-00003.bin", 312 of
// 1000 "shards-003/shard-00312.bin".
std::string shard_name(std::int64_t process, std::int64_t processes,
                       std::int64_t most_side_by_side = most_shards_side_by_side);
// The subdirectories in which the shards of so many processes lie, in order; none where they lie
// side by side.
std::vector<std::string> shard_subdirectories(
    std::int64_t processes, std::int64_t most_side_by_side = most_shards_side_by_side);

// Returns one tensor after another, then nullopt. A tensor's data must stay valid until the next
// call.
using TensorStream = std::function<std::optional<NamedTensor>()>;

// Creates the file `name`, whose subdirectory must exist, and makes its bytes durable. The returned
// tensor entries are complete except for the index of their file.
ShardReport write_shard(Env& env, const std::string& directory, const std::string& name,
                        const TensorStream& next_tensor);

}  // namespace switchyard
