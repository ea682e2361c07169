// One trainer to a run: an advisory lock on RUN/lock, which also says who holds it. The kernel
// releases it when its process ends, however that happens; the file stays and is no obstacle.
#pragma once

#include <string>

namespace switchyard {

// Move-only; released on destruction. Process 0 alone takes it.
class RunLock {
 public:
  // The directory must exist. Error(output_not_writable) naming host and process of the holder.
  explicit RunLock(const std::string& run_directory);
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&& other) noexcept;
  ~RunLock();

 private:
  int fd_ = -1;
};

}  // namespace switchyard
