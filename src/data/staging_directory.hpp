// A directory that is complete or not there: OUTPUT.partial while it is filled, OUTPUT once
// committed.
#pragma once

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

  std::string path(const std::string& name) const { return partial_ + "/" + name; }
  // Durable when it returns.
  void commit();

 private:
  Env& env_;
  std::string output_, partial_;
  int lock_ = -1;  // holds an flock on the directory; the system drops it with the process
  bool committed_ = false;
};

}  // namespace switchyard
