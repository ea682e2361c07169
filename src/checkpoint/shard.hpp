// A shard: the tensors that one process wrote, end to end, each starting at a multiple of 64 bytes.
// Writer beside reader; the manifest says where things are. Neither is collective.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/manifest.hpp"
#include "files/env.hpp"
#include "tensor/named_tensor.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

std::string shard_name(std::int64_t process);  // 3 -> "shard-00003.bin"

// Tensors one after another, then nothing. The data of one need live until the next is asked for.
using TensorStream = std::function<std::optional<NamedTensor>()>;

// Creates the file and makes it durable. The report's tensors have all but their file's index.
ShardReport write_shard(Env& env, const std::string& directory, const std::string& name,
                        const TensorStream& next_tensor);

// Reads tensors of one checkpoint, each verified: its file's size, its checksum and SHA-256, the
// zeros after it. `manifest` must outlive it.
class ShardReader {
 public:
  ShardReader(const Env& env, std::string checkpoint_directory, const Manifest& manifest);

  // [1, stored_bytes / 4]: the elements and then zeros. Error(damaged_data) names file and bytes.
  Tensor<float> read(const ManifestTensor& tensor);

 private:
  const ReadableFile& file(int index);

  const Env& env_;
  std::string directory_;
  const Manifest& manifest_;
  std::vector<std::unique_ptr<ReadableFile>> files_;  // opened on first use
};

// Opens a file of a checkpoint; Error(damaged_data) where it is absent or of another size.
std::unique_ptr<ReadableFile> open_listed_file(const Env& env,
                                               const std::string& checkpoint_directory,
                                               const ManifestFile& entry);

}  // namespace switchyard
