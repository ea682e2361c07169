// Carries an exception out of an OpenMP parallel region. An exception that leaves the region would
// terminate the process without a message; TeamFailure keeps the first one that a thread of the
// team throws and rethrows it after the region. It knows nothing of what the threads do.
#pragma once

#include <atomic>
#include <exception>
#include <utility>

namespace switchyard {

//   TeamFailure failure;
// #pragma omp parallel for
//   for (…) failure.keep([&] { … });
//   failure.rethrow();
class TeamFailure {
 public:
  // Runs `work` unless a thread has already thrown: the team's result is lost in any case.
  template <class Work>
  void keep(Work&& work) noexcept {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      std::forward<Work>(work)();
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  // Call after the region, on the thread that opened it.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::atomic<bool> failed_ = false;
  std::exception_ptr error_;
};

}  // namespace switchyard
