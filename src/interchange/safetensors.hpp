// Reads and writes safetensors directories as Hugging Face does: model.safetensors, or its shards
// and an index. Memory holds headers and the requested elements, never a whole file. It knows no
// model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "files/env.hpp"
#include "interchange/safetensors_header.hpp"

namespace switchyard {

inline constexpr const char* safetensors_file = "model.safetensors";
inline constexpr const char* safetensors_index = "model.safetensors.index.json";

class SafetensorsReader {
 public:
  // Reads every header and checks it against the size of its file and against the index.
  // Error(missing_input): there are no weights in this format, or a shard of the index is missing;
  // Error(damaged_data); Error(unsafe_path): the index names a file outside the directory.
  // `aliases`: names of one tensor; of those listed in the index, the shards need to hold only one.
  SafetensorsReader(const Env& env, const std::string& directory,
                    std::span<const char* const> aliases = {});

  const std::string& directory() const { return directory_; }
  const std::vector<std::string>& names() const { return names_; }  // sorted
  // Null if there is no tensor of that name.
  const StoredTensor* find(const std::string& name) const;

  // Reads elements first, first + 1, … of a tensor returned by find(), converted to f32, which is
  // exact for every type.
  void read(const StoredTensor& tensor, std::int64_t first, std::span<float> into) const;

 private:
  struct Shard {
    std::string path;
    std::unique_ptr<ReadableFile> file;
    std::int64_t data_begin = 0;
  };
  struct Place {
    StoredTensor tensor;
    std::size_t shard = 0;
  };

  void add_shard(const Env& env, const std::string& path);
  void add_indexed_shards(const Env& env, std::span<const char* const> aliases);
  const Place* place(const std::string& name) const;

  std::string directory_;
  std::vector<Shard> shards_;
  std::vector<Place> places_;  // in order of name
  std::vector<std::string> names_;
};

// Writes tensors one after another, from pieces of any size.
class SafetensorsWriter {
 public:
  // `tensors`: all tensors in the order in which they will be written. Each lies in one shard; a
  // new shard begins where the next tensor would make the current one larger than `shard_bytes`. A
  // single shard is named model.safetensors, several model-00001-of-0000N.safetensors with an
  // index.
  SafetensorsWriter(Env& env, std::string directory, std::vector<StoredTensor> tensors,
                    std::int64_t shard_bytes);

  // Appends the next elements, rounded to the type of their tensor (f32 or bf16).
  void append(std::span<const float> elements);
  // Makes the last shard durable and writes the index. All elements must have been appended.
  void finish();

 private:
  void begin_shard();
  void end_shard();
  std::string shard_name(std::size_t shard) const;

  Env& env_;
  std::string directory_;
  std::vector<std::vector<StoredTensor>> shards_;
  std::size_t shard_ = 0;   // the current shard
  std::size_t tensor_ = 0;  // the current tensor in it
  std::int64_t left_ = 0;   // elements of that tensor not yet written
  std::unique_ptr<WritableFile> file_;
};

}  // namespace switchyard
