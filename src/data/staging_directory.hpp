// A directory that is complete or not there: OUTPUT.partial while it is filled, OUTPUT once
// committed.
#pragma once

#include <optional>
#include <string>

#include "files/env.hpp"

namespace switchyard {

class StagingDirectory {
 public:
  // Error(output_not_writable): the output exists and is not an empty directory, cannot be made, or
  // another process is filling it. What a killed process left in OUTPUT.partial is removed.
  StagingDirectory(Env& env, const std::string& output);
  ~StagingDirectory();  // removes what was not committed
  StagingDirectory(const StagingDirectory&) = delete;
  StagingDirectory& operator=(const StagingDirectory&) = delete;

  const std::string& directory() const { return partial_; }
  std::string path(const std::string& name) const { return partial_ + "/" + name; }
  // Durable when it returns.
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

  Env& env_;
  std::string output_, partial_;
  std::optional<Lock> lock_;
  bool committed_ = false;
};

}  // namespace switchyard
