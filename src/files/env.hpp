// The file system as the program sees it. Everything that must survive a crash goes through an Env,
// so that a test can slip in one that fails at any operation. It knows bytes and paths, no formats.
//
// Errors, each naming the path and the system's reason: Error(missing_input) where something to be
// read is absent, Error(output_not_writable) where permission, a read-only file system or a file in
// place of a directory forbids writing, Error(damaged_data) where something else stands in place of
// a file to be read (a Git LFS pointer too), Error(io_error) otherwise, a full disk included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

// How much of a large file is read at a time where it is read to its end.
inline constexpr std::int64_t piece_bytes = std::int64_t{1} << 20;

// A file being written. Destroying it without close() closes it and reports nothing.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual void append(std::span<const std::byte> bytes) = 0;
  // Returns when the bytes are on stable storage. Never retried: after a failure the kernel may
  // have dropped the dirty pages, so the file must be abandoned.
  virtual void sync() = 0;
  virtual void close() = 0;
};

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual std::int64_t size() const = 0;
  // Fills all of `into`; Error(damaged_data) where the file ends before.
  virtual void read_at(std::int64_t offset, std::span<std::byte> into) const = 0;
};

class Env {
 public:
  virtual ~Env() = default;

  // A new file; an existing one, or a symbolic link in its place, is Error(io_error).
  virtual std::unique_ptr<WritableFile> create(const std::string& path) = 0;
  // At the end of a file, created if absent.
  virtual std::unique_ptr<WritableFile> open_for_append(const std::string& path) = 0;
  virtual std::unique_ptr<ReadableFile> open(const std::string& path) const = 0;

  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void truncate(const std::string& path, std::int64_t size) = 0;
  virtual void remove_file(const std::string& path) = 0;  // absent: nothing happens
  virtual void remove_tree(
      const std::string& path) = 0;  // absent: nothing happens; links are not followed
  virtual void make_directories(const std::string& path) = 0;
  // Makes creations, renames and removals inside the directory durable.
  virtual void sync_directory(const std::string& path) = 0;

  virtual std::vector<std::string> list_directory(
      const std::string& path) const = 0;  // base names, sorted
  virtual bool exists(const std::string& path) const = 0;
  virtual bool is_directory(const std::string& path) const = 0;
  virtual std::int64_t file_size(const std::string& path) const = 0;
  // Tells what stands there from every other file of this host, and from itself after a change:
  // device, inode, size, times. "" where nothing stands there.
  virtual std::string identity(const std::string& path) const = 0;
};

// The real one.
class PosixEnv final : public Env {
 public:
  std::unique_ptr<WritableFile> create(const std::string& path) override;
  std::unique_ptr<WritableFile> open_for_append(const std::string& path) override;
  std::unique_ptr<ReadableFile> open(const std::string& path) const override;
  void rename(const std::string& from, const std::string& to) override;
  void truncate(const std::string& path, std::int64_t size) override;
  void remove_file(const std::string& path) override;
  void remove_tree(const std::string& path) override;
  void make_directories(const std::string& path) override;
  void sync_directory(const std::string& path) override;
  std::vector<std::string> list_directory(const std::string& path) const override;
  bool exists(const std::string& path) const override;
  bool is_directory(const std::string& path) const override;
  std::int64_t file_size(const std::string& path) const override;
  std::string identity(const std::string& path) const override;
};

// The whole file. Error(damaged_data) when it is larger than `limit`, before anything is allocated.
std::string read_file(const Env& env, const std::string& path, std::int64_t limit);

// Replaces `path` so that a crash leaves the old bytes or the new ones: path.tmp, fsync, rename,
// fsync of the directory. For small files.
void write_file_atomically(Env& env, const std::string& path, std::string_view bytes);

// make_directories, and durable with every parent that it makes: after a power cut what is in the
// directory can be found.
void make_durable_directories(Env& env, const std::string& path);

// "a/b/c" -> "a/b"; "c" -> ".".
std::string parent_directory(const std::string& path);
// "a/b/c" and "a/b/c/" -> "c".
std::string base_name(const std::string& path);

}  // namespace switchyard
