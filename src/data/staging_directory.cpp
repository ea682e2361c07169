#include "data/staging_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

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
    throw Error(ExitCode::output_not_writable, output + " exists and is not a directory");
  if (env.exists(output + "/" + dataset_files::manifest))
    throw Error(ExitCode::output_not_writable, output + " already holds prepared data",
                "choose another --output, or remove the directory to prepare anew");
  if (!env.list_directory(output).empty())
    throw Error(ExitCode::output_not_writable, output + " exists and is not empty",
                "choose a new directory for --output");
}

// -1 where another process holds it.
int lock_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

}  // namespace

StagingDirectory::StagingDirectory(Env& env, const std::string& output)
    : env_(env), output_(without_trailing_slashes(output)), partial_(output_ + ".partial") {
  require_free(env_, output_);
  env_.make_directories(partial_);
  lock_ = lock_directory(partial_);
  if (lock_ < 0)
    throw Error(ExitCode::output_not_writable, "another process is writing " + partial_,
                "wait for it, or choose another --output");
  try {
    for (const std::string& name : env_.list_directory(partial_)) env_.remove_tree(path(name));
    // Made and removed again: whether the directory can be written is known before hours of work.
    env_.create(path("writable"))->close();
    env_.remove_file(path("writable"));
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

StagingDirectory::~StagingDirectory() {
  if (!committed_) {
    try {
      env_.remove_tree(partial_);
    } catch (const Error&) {
      // The next start removes it.
    }
  }
  ::close(lock_);
}

void StagingDirectory::commit() {
  env_.sync_directory(partial_);
  env_.rename(partial_, output_);
  committed_ = true;
  env_.sync_directory(parent_directory(output_));
}

}  // namespace switchyard
