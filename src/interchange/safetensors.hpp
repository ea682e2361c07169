// Safetensors directories, as Hugging Face writes them: model.safetensors, or shards of it and an
// index. Memory holds headers and what the caller asks for, never a file. It knows no model.
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
  // Reads every header, and checks each against the size of its file and against the index.
  // Error(missing_input): no weights in this format, or a shard that the index names;
  // Error(damaged_data); Error(unsafe_path): the index names a file outside the directory.
  // `aliases`: names of one tensor. Of those that the index has, the shards need only hold one.
  SafetensorsReader(const Env& env, const std::string& directory,
                    std::span<const char* const> aliases = {});

  const std::string& directory() const { return directory_; }
  const std::vector<std::string>& names() const { return names_; }  // sorted
  // Nothing where there is none of that name.
  const StoredTensor* find(const std::string& name) const;

  // Elements first, first + 1, … of a tensor that find() gave, as f32: exact for every type.
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
  std::vector<Place> places_;  // by name
  std::vector<std::string> names_;
};

// Writes tensors one after another, whatever the pieces in which they come.
class SafetensorsWriter {
 public:
  // All tensors in the order in which they will be written, each whole in one shard; a new shard
  // begins where the next tensor would take the present one past `shard_bytes`. One shard is
  // model.safetensors; several are model-00001-of-0000N.safetensors with their index.
  SafetensorsWriter(Env& env, std::string directory, std::vector<StoredTensor> tensors,
                    std::int64_t shard_bytes);

  // The next elements, rounded to the type of their tensor (f32 or bf16).
  void append(std::span<const float> elements);
  // Makes the last shard durable and writes the index. Every element has been appended.
  void finish();

 private:
  void begin_shard();
  void end_shard();
  std::string shard_name(std::size_t shard) const;

  Env& env_;
  std::string directory_;
  std::vector<std::vector<StoredTensor>> shards_;
  std::size_t shard_ = 0;   // the one being written
  std::size_t tensor_ = 0;  // in it
  std::int64_t left_ = 0;   // elements of that tensor still to come
  std::unique_ptr<WritableFile> file_;
};

}  // namespace switchyard
