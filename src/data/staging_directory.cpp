#include "data/staging_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.hpp"
#include "data/dataset.hpp"

namespace switchyard {

namespace {

// "a/./" -> "a", but "." stays. The partial directory is created next to a name, so the output
// needs one.
std::string without_trailing_dots(std::string path) {
  while (path.size() > 1 && (path.ends_with("/") || path.ends_with("/.")))
    path.resize(std::max<std::size_t>(path.find_last_of('/'), 1));
  return path;
}

// Files of the file system, its snapshots or version control do not count as content.
bool counts_as_content(const std::string& name) {
  return !name.starts_with('.') && name != "lost+found";
}

void require_free(const Env& env, const std::string& output) {
  if (!env.is_directory(output))
    throw Error(ExitCode::output_not_writable, output + " exists and is not a directory",
                "choose another --output");
  if (env.exists(output + "/" + dataset_files::manifest))
    throw Error(ExitCode::output_not_writable, output + " already holds prepared data",
                "choose another --output, or remove the directory to prepare anew");
  const auto names = env.list_directory(output);
  if (std::any_of(names.begin(), names.end(), counts_as_content))
    throw Error(ExitCode::output_not_writable, output + " exists and is not empty",
                "choose a new directory for --output");
}

// Throws unless nothing exists under that name and a directory can be renamed to it.
void require_new(const std::string& output) {
  std::error_code none;
  if (std::filesystem::is_symlink(output, none))
    throw Error(ExitCode::output_not_writable,
                output + " is a link to " + std::filesystem::read_symlink(output, none).string() +
                    ", which does not exist",
                "make that directory, or choose another --output");
  if (const std::string name = base_name(output); name == "." || name == "..")
    throw Error(ExitCode::output_not_writable, output + " does not exist",
                "choose another --output");
}

// Turns any error of `action` into Error(output_not_writable).
template <class Action>
void as_unwritable(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    throw Error(ExitCode::output_not_writable, error.what(),
                error.hint().empty() ? "choose another --output" : error.hint());
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

StagingDirectory::StagingDirectory(Env& env, const std::string& output, const std::string& last)
    : env_(env), output_(without_trailing_dots(output)), last_(last) {
  as_unwritable([&] {
    inside_ = env_.exists(output_);
    if (inside_) {
      require_free(env_, output_);
    } else {
      require_new(output_);
    }
  });
  partial_ = output_ + (inside_ ? "/.partial" : ".partial");
  as_unwritable([&] {
    make_durable_directories(env_, parent_directory(partial_));
    env_.make_directories(partial_);
  });
  lock_.emplace(partial_);
  removed_on_signal_.emplace(partial_);
  as_unwritable([&] {
    for (const std::string& name : env_.list_directory(partial_)) env_.remove_tree(path(name));
    // Find out now, not after hours of work, whether files can be written.
    env_.create(path("writable"))->close();
    env_.remove_file(path("writable"));
  });
}

StagingDirectory::~StagingDirectory() {
  if (finished_) return;
  try {
    env_.remove_tree(partial_);
  } catch (const Error&) {
    // The next start removes it.
  }
}

void StagingDirectory::commit() {
  finished_ = true;
  removed_on_signal_.reset();
  try {
    env_.sync_directory(partial_);
    if (inside_) {
      move_into_output();
    } else {
      env_.rename(partial_, output_);
      env_.sync_directory(parent_directory(output_));
    }
  } catch (const Error& error) {
    throw Error(error.code(),
                std::string(error.what()) + "; what was made is whole, and stays where it is",
                "move what is in " + partial_ + " to where it shall be, " + last_ + " last");
  }
}

void StagingDirectory::move_into_output() {
  require_free(env_, output_);  // a rename would replace files that have appeared meanwhile
  std::vector<std::string> names = env_.list_directory(partial_);
  std::stable_partition(names.begin(), names.end(),
                        [&](const std::string& name) { return name != last_; });
  for (const std::string& name : names) {
    if (name == last_) env_.sync_directory(output_);  // every other file is in place
    env_.rename(path(name), output_ + "/" + name);
  }
  env_.sync_directory(output_);
  try {
    env_.remove_tree(partial_);
  } catch (const Error&) {
    // Empty and hidden, it does no harm.
  }
}

}  // namespace switchyard
