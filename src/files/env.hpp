// The file system as the program sees it. Everything that must survive a crash goes through an Env,
// so that a test can substitute one that fails at any operation. It handles bytes and paths and
// knows no file formats.
//
// Errors, each with the path and the system's reason: Error(missing_input) where something to be
// read is absent; Error(output_not_writable) where permissions, a read-only file system or a file
// in place of a directory prevent writing; Error(damaged_data) where the path to be read is not a
// regular file or holds a Git LFS pointer; Error(io_error) otherwise, a full disk included.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

// Block size for large files that are read sequentially to their end.
inline constexpr std::int64_t piece_bytes = std::int64_t{1} << 20;

// A file being written. Destroying it without close() closes it and ignores any error.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual void append(std::span<const std::byte> bytes) = 0;
  // Returns when the bytes are on stable storage. A failed sync must not be retried: the kernel may
  // have dropped the dirty pages, so the file has to be abandoned.
  virtual void sync() = 0;
  virtual void close() = 0;
};

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual std::int64_t size() const = 0;
  // Fills all of `into`; Error(damaged_data) where the file is too short.
  virtual void read_at(std::int64_t offset, std::span<std::byte> into) const = 0;
};

class Env {
 public:
  virtual ~Env() = default;

  // Creates a new file; Error(io_error) where a file or a symbolic link of that name exists.
  virtual std::unique_ptr<WritableFile> create(const std::string& path) = 0;
  // Appends to a file, which is created if absent.
  virtual std::unique_ptr<WritableFile> open_for_append(const std::string& path) = 0;
  virtual std::unique_ptr<ReadableFile> open(const std::string& path) const = 0;

  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void truncate(const std::string& path, std::int64_t size) = 0;
  virtual void remove_file(const std::string& path) = 0;  // does nothing where the file is absent
  virtual void remove_tree(
      const std::string& path) = 0;  // absent: nothing happens; links are not followed
  virtual void make_directories(const std::string& path) = 0;
  // Makes creations, renames and removals of directory entries durable.
  virtual void sync_directory(const std::string& path) = 0;

  virtual std::vector<std::string> list_directory(
      const std::string& path) const = 0;  // base names, sorted
  virtual bool exists(const std::string& path) const = 0;
  virtual bool is_directory(const std::string& path) const = 0;
  virtual std::int64_t file_size(const std::string& path) const = 0;
  // Identifies the file at `path` among all files of this host, and distinguishes it from an
  // earlier version of itself: device, inode, size, times. "" where there is no such file.
  virtual std::string identity(const std::string& path) const = 0;
};

// The operating system's file system.
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

// Reads a whole file. Error(damaged_data) where it is larger than `limit` bytes, found before
// anything is allocated.
std::string read_file(const Env& env, const std::string& path, std::int64_t limit);

// Replaces the file at `path` such that a crash leaves either the old bytes or the new ones: writes
// path.tmp, fsync, rename, fsync of the directory. For small files.
void write_file_atomically(Env& env, const std::string& path, std::string_view bytes);

// Like make_directories, and makes every directory it creates durable, so that files in it can
// still be found after a power failure.
void make_durable_directories(Env& env, const std::string& path);

// "a/b/c" -> "a/b"; "c" -> ".".
std::string parent_directory(const std::string& path);
// "a/b/c" and "a/b/c/" -> "c".
std::string base_name(const std::string& path);

}  // namespace switchyard
