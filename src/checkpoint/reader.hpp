// A committed checkpoint, opened for reading: its manifest and its files, with every byte verified
// as it is read. The files stay open, so the checkpoint can be read to its end even if a trainer
// deletes it meanwhile. Buffers one block of bytes at a time. Nothing here is collective.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/manifest.hpp"
#include "files/env.hpp"
#include "files/sha256.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

class CheckpointReader {
 public:
  // Reads the manifest and opens the files it lists. Error(damaged_data) where a file is absent or
  // has a different size. `env` must outlive the reader.
  CheckpointReader(const Env& env, std::string directory);
  // The same with manifest bytes that another process has read.
  CheckpointReader(const Env& env, std::string directory, std::string_view manifest);

  const std::string& directory() const { return directory_; }
  const Manifest& manifest() const { return manifest_; }
  RunState state() const { return run_state_of(manifest_); }

  // All of the following throw Error(damaged_data) with the file's name and what is wrong, or
  // Error(missing_input) where the checkpoint was deleted and can no longer be read.

  // Reads a whole file and checks its size and its SHA-256.
  void verify_file(int index) const;
  void verify() const;  // all files

  // Fills `into` with the tensor's elements and verifies their checksum, their SHA-256 and the zero
  // padding after them. After an error the contents of `into` are undefined.
  void read(const ManifestTensor& tensor, std::span<float> into) const;
  Tensor<float> read(const ManifestTensor& tensor) const;  // [rows, cols]
  // The same for the elements from `first` on alone; nevertheless verifies the whole tensor.
  void read_part(const ManifestTensor& tensor, std::int64_t first, std::span<float> into) const;
  // Verifies the same and keeps no data.
  void verify(const ManifestTensor& tensor) const;

 private:
  using Block = std::span<std::byte>;

  void open_files();
  std::shared_ptr<const ReadableFile> file(int index) const;
  void check(const ManifestTensor& tensor, const std::function<Block(std::int64_t at)>& room) const;
  void unless_deleted(const std::function<void()>& reading) const;

  const Env& env_;
  std::string directory_;
  Manifest manifest_;
  // Empty where there are too many to keep open.
  std::vector<std::shared_ptr<const ReadableFile>> files_;
};

}  // namespace switchyard
