// The real file system, through POSIX calls: short writes and interrupted calls are completed,
// fsync is called once, and each failure becomes an Error with the path and the system's reason.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.hpp"
#include "files/env.hpp"
#include "files/lfs_pointer.hpp"

namespace switchyard {
namespace {

enum class Access { read, write };

const char* remedy(int error) {
  if (error == ENOSPC || error == EDQUOT) return "make room on the disk";
  if (error == EFBIG) return "raise the limit on the size of files (`ulimit -f`)";
  return "";
}

[[noreturn]] void fail(Access access, const std::string& action, const std::string& path,
                       int error) {
  const std::string message = "cannot " + action + " " + path + ": " + std::strerror(error);
  if (access == Access::read && (error == ENOENT || error == ENOTDIR)) {
    throw Error(ExitCode::missing_input, message, "check the path");
  }
  if (access == Access::write &&
      (error == EACCES || error == EPERM || error == EROFS || error == ENOTDIR)) {
    throw Error(ExitCode::output_not_writable, message, "choose a directory that you may write to");
  }
  throw Error(ExitCode::io_error, message, remedy(error));
}

// Owner of a file descriptor; move-only.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Descriptor open_descriptor(Access access, const char* action, const std::string& path, int flags) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) fail(access, action, path, errno);
  return Descriptor(fd);
}

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  void append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail(Access::write, "write", path_, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void sync() override {
    if (::fsync(fd_.get()) != 0) fail(Access::write, "make durable", path_, errno);
  }
  void close() override {
    if (::close(fd_.release()) != 0) fail(Access::write, "close", path_, errno);
  }

 private:
  Descriptor fd_;
  std::string path_;
};

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(Descriptor fd, std::string path, std::int64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  std::int64_t size() const override { return size_; }

  void read_at(std::int64_t offset, std::span<std::byte> into) const override {
    while (!into.empty()) {
      const ssize_t got = ::pread(fd_.get(), into.data(), into.size(), offset);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail(Access::read, "read", path_, errno);
      if (got == 0) {
        throw Error(ExitCode::damaged_data, path_ + " ends at byte " + std::to_string(offset) +
                                                ", " + std::to_string(into.size()) +
                                                " bytes too early");
      }
      offset += got;
      into = into.subspan(static_cast<std::size_t>(got));
    }
  }

 private:
  Descriptor fd_;
  std::string path_;
  std::int64_t size_;
};

// A Git LFS pointer is never readable data, whatever kind of file it stands for.
void refuse_pointer(const std::string& path, const ReadableFile& file) {
  if (file.size() >= static_cast<std::int64_t>(largest_lfs_pointer)) return;
  std::string bytes(static_cast<std::size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(bytes)));
  refuse_lfs_pointer(path, bytes);
}

}  // namespace

std::unique_ptr<WritableFile> PosixEnv::create(const std::string& path) {
  auto fd =
      open_descriptor(Access::write, "create", path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
  return std::make_unique<PosixWritableFile>(std::move(fd), path);
}

std::unique_ptr<WritableFile> PosixEnv::open_for_append(const std::string& path) {
  auto fd =
      open_descriptor(Access::write, "open", path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW);
  return std::make_unique<PosixWritableFile>(std::move(fd), path);
}

std::unique_ptr<ReadableFile> PosixEnv::open(const std::string& path) const {
  // Without O_NONBLOCK, opening a named pipe at this path would block for ever.
  auto fd = open_descriptor(Access::read, "open", path, O_RDONLY | O_NONBLOCK);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) fail(Access::read, "examine", path, errno);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ExitCode::damaged_data,
                "cannot read " + path + ": it is " +
                    (S_ISDIR(status.st_mode) ? "a directory" : "not a regular file"),
                "put back the file that belongs there");
  }
  auto file = std::make_unique<PosixReadableFile>(std::move(fd), path, status.st_size);
  refuse_pointer(path, *file);
  return file;
}

void PosixEnv::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    fail(Access::write, "rename to " + to + ":", from, errno);
}

void PosixEnv::truncate(const std::string& path, std::int64_t size) {
  if (::truncate(path.c_str(), size) != 0) fail(Access::write, "shorten", path, errno);
}

void PosixEnv::remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail(Access::write, "remove", path, errno);
}

void PosixEnv::remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail(Access::write, "remove", path, error.value());
}

void PosixEnv::make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail(Access::write, "make the directory", path, error.value());
}

void PosixEnv::sync_directory(const std::string& path) {
  const auto fd = open_descriptor(Access::write, "open", path, O_RDONLY | O_DIRECTORY);
  if (::fsync(fd.get()) != 0) fail(Access::write, "make durable", path, errno);
}

std::vector<std::string> PosixEnv::list_directory(const std::string& path) const {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator entry(path, error);
  for (const std::filesystem::directory_iterator end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) fail(Access::read, "list", path, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

bool PosixEnv::exists(const std::string& path) const {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  fail(Access::read, "examine", path, errno);
}

bool PosixEnv::is_directory(const std::string& path) const {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0) return S_ISDIR(status.st_mode);
  if (errno == ENOENT || errno == ENOTDIR) return false;
  fail(Access::read, "examine", path, errno);
}

std::int64_t PosixEnv::file_size(const std::string& path) const {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) fail(Access::read, "examine", path, errno);
  return status.st_size;
}

std::string PosixEnv::identity(const std::string& path) const {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return "";
    fail(Access::read, "examine", path, errno);
  }
  std::string text;
  for (const auto part :
       {static_cast<std::int64_t>(status.st_dev), static_cast<std::int64_t>(status.st_ino),
        static_cast<std::int64_t>(status.st_size), static_cast<std::int64_t>(status.st_mtim.tv_sec),
        static_cast<std::int64_t>(status.st_mtim.tv_nsec)}) {
    text += std::to_string(part) + " ";
  }
  return text;
}

}  // namespace switchyard
