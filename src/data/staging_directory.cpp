#include "data/staging_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "data/dataset.hpp"

namespace switchyard {

namespace {

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

void require_free(const Env& env, const std::string& output) {
  if (!env.exists(output)) return;
  if (!env.is_directory(output))
    throw Error(ExitCode::output_not_writable, output + " exists and is not a directory",
                "choose another --output");
  if (env.exists(output + "/" + dataset_files::manifest))
    throw Error(ExitCode::output_not_writable, output + " already holds prepared data",
                "choose another --output, or remove the directory to prepare anew");
  if (!env.list_directory(output).empty())
    throw Error(ExitCode::output_not_writable, output + " exists and is not empty",
                "choose a new directory for --output");
}

// Whatever keeps the output from being made, it cannot be written.
template <class Action>
void as_unwritable(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    throw Error(ExitCode::output_not_writable, error.what(), "choose another --output");
  }
}

}  // namespace

StagingDirectory::Lock::Lock(const std::string& directory)
    : fd_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  if (fd_ >= 0) ::close(fd_);
  if (reason == EWOULDBLOCK)
    throw Error(ExitCode::output_not_writable, "another process is writing " + directory,
                "wait for it, or choose another --output");
  throw Error(ExitCode::output_not_writable,
              "cannot lock " + directory + ": " + std::strerror(reason));
}

StagingDirectory::Lock::~Lock() { ::close(fd_); }

StagingDirectory::StagingDirectory(Env& env, const std::string& output)
    : env_(env), output_(without_trailing_slashes(output)), partial_(output_ + ".partial") {
  require_free(env_, output_);
  as_unwritable([&] { env_.make_directories(partial_); });
  lock_.emplace(partial_);
  as_unwritable([&] {
    for (const std::string& name : env_.list_directory(partial_)) env_.remove_tree(path(name));
    // That nothing can be written is known now, not after hours of work.
    env_.create(path("writable"))->close();
    env_.remove_file(path("writable"));
  });
}

StagingDirectory::~StagingDirectory() {
  if (committed_) return;
  try {
    env_.remove_tree(partial_);
  } catch (const Error&) {
    // The next start removes it.
  }
}

void StagingDirectory::commit() {
  env_.sync_directory(partial_);
  env_.rename(partial_, output_);
  committed_ = true;
  env_.sync_directory(parent_directory(output_));
}

}  // namespace switchyard
