// A committed checkpoint, opened: its manifest, and its files, of which every byte is checked as it
// is read. Its files stay open, so that what was opened can be read to the end even where a trainer
// deletes the checkpoint meanwhile. It holds a block of bytes at a time and is not collective.
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
  // Reads the manifest and opens what it lists. Error(damaged_data) where a file is absent or of
  // another size. `env` must outlive it.
  CheckpointReader(const Env& env, std::string directory);
  // The same with the manifest's bytes, which another process has read.
  CheckpointReader(const Env& env, std::string directory, std::string_view manifest);

  const std::string& directory() const { return directory_; }
  const Manifest& manifest() const { return manifest_; }
  RunState state() const { return run_state_of(manifest_); }

  // Each throws Error(damaged_data) that names the file and what is wrong; Error(missing_input)
  // where the checkpoint was deleted and cannot be read for that.

  // Reads a file whole: its size and its SHA-256.
  void verify_file(int index) const;
  void verify() const;  // all files

  // Fills `into` with the tensor's elements and checks their checksum, their SHA-256 and the zeros
  // after them. `into` means nothing after an error.
  void read(const ManifestTensor& tensor, std::span<float> into) const;
  Tensor<float> read(const ManifestTensor& tensor) const;  // [rows, cols]
  // Checks the same and keeps nothing.
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
  std::vector<std::shared_ptr<const ReadableFile>> files_;  // none where they are too many
};

}  // namespace switchyard
