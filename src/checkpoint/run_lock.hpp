// At most one trainer per run: an advisory lock on RUN/lock, whose text says who holds it. The
// kernel releases the lock however the process ends; the file that remains does not block a later
// run.
#pragma once

#include <string>

namespace switchyard {

// Move-only; released on destruction. Only process 0 takes the lock.
class RunLock {
 public:
  // The directory must exist. Throws Error(output_not_writable) with the holder's host and process
  // id where the lock is taken.
  explicit RunLock(const std::string& run_directory);
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&& other) noexcept;
  ~RunLock();

 private:
  int fd_ = -1;
};

}  // namespace switchyard
