// A directory that is either complete or absent. It is filled under a temporary name and renamed at
// the end: OUTPUT.partial if OUTPUT does not exist, otherwise OUTPUT/.partial, since OUTPUT may be
// `.`, a mount point or a link to a directory, none of which a rename could replace.
#pragma once

#include <optional>
#include <string>

#include "base/process.hpp"
#include "files/env.hpp"

namespace switchyard {

class StagingDirectory {
 public:
  // `last`: the file or directory by which readers recognise that the output is complete; in an
  // output directory that existed before, it appears last. Error(output_not_writable): the output
  // exists and is not an empty directory (hidden files and lost+found are ignored), cannot be
  // created, or is being filled by another process. Leftovers of a killed process are removed.
  StagingDirectory(Env& env, const std::string& output, const std::string& last);
  // Removes everything unless commit() was called; so does a signal that ends the process.
  ~StagingDirectory();
  StagingDirectory(const StagingDirectory&) = delete;
  StagingDirectory& operator=(const StagingDirectory&) = delete;

  const std::string& directory() const { return partial_; }
  std::string path(const std::string& name) const { return partial_ + "/" + name; }
  // Durable on return. If it fails, everything is kept, and the Error says where.
  void commit();

 private:
  // An flock on a directory; the kernel releases it when the process ends.
  class Lock {
   public:
    explicit Lock(const std::string& directory);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    int fd_;
  };

  void move_into_output();

  Env& env_;
  std::string output_, last_;
  bool inside_;  // whether the output existed before
  std::string partial_;
  std::optional<Lock> lock_;
  std::optional<RemovedOnSignal> removed_on_signal_;
  bool finished_ = false;
};

}  // namespace switchyard
