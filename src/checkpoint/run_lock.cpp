#include "checkpoint/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "base/host.hpp"

namespace switchyard {
namespace {

// The holder's host and process id as read from the lock file; they may not be written yet.
std::string holder(int fd) {
  char text[256];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  std::string holder(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  while (!holder.empty() && holder.back() == '\n') holder.pop_back();
  return holder.empty() ? "another process" : holder;
}

void name_holder(int fd) {
  const std::string text = "process " + std::to_string(::getpid()) + " on " + host_name() + "\n";
  // The text only tells people who holds the lock; if a full disk prevents writing it, the run goes
  // on.
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, text.data(), text.size(), 0);
}

}  // namespace

RunLock::RunLock(const std::string& run_directory) {
  const std::string path = run_directory + "/lock";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd_ < 0) {
    throw Error(ExitCode::output_not_writable, "cannot open " + path + ": " + std::strerror(errno),
                "choose a directory that you may write to");
  }
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const std::string held_by = holder(fd_);
    ::close(fd_);
    if (error != EWOULDBLOCK) {
      throw Error(ExitCode::io_error, "cannot lock " + path + ": " + std::strerror(error));
    }
    throw Error(ExitCode::output_not_writable, run_directory + " is in use by " + held_by,
                "wait for it or stop it, or choose another output directory");
  }
  name_holder(fd_);
}

RunLock::RunLock(RunLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

RunLock& RunLock::operator=(RunLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

RunLock::~RunLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace switchyard
