// A directory that is complete or not there. Filled beside its place and renamed at the end: as
// OUTPUT.partial where there is no OUTPUT yet, and as OUTPUT/.partial where there is one, which may
// be `.`, a mount point or a link to a directory, none of which a rename could replace.
#pragma once

#include <optional>
#include <string>

#include "base/process.hpp"
#include "files/env.hpp"

namespace switchyard {

class StagingDirectory {
 public:
  // `last` is the file or directory by which readers know that all is there: of a directory that
  // stood before it is the last to appear.
  // Error(output_not_writable): the output exists and is not an empty directory (hidden files and
  // lost+found count for nothing), cannot be made, or another process is filling it. What a killed
  // process left half-made is removed.
  StagingDirectory(Env& env, const std::string& output, const std::string& last);
  // Removes what commit() was not asked for; so does a signal that ends the process meanwhile.
  ~StagingDirectory();
  StagingDirectory(const StagingDirectory&) = delete;
  StagingDirectory& operator=(const StagingDirectory&) = delete;

  const std::string& directory() const { return partial_; }
  std::string path(const std::string& name) const { return partial_ + "/" + name; }
  // Durable when it returns. Where it fails, all that was made stays, and the Error says where.
  void commit();

 private:
  // An flock on a directory; the system drops it with the process.
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
  bool inside_;  // the output stood before
  std::string partial_;
  std::optional<Lock> lock_;
  std::optional<RemovedOnSignal> removed_on_signal_;
  bool finished_ = false;
};

}  // namespace switchyard
