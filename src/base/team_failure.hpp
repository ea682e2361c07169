// An exception that leaves an OpenMP parallel region ends the process without a word. This keeps
// what a thread of the team throws until the region is over, and throws it again there. It knows
// nothing of what the threads do.
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
  // Runs `work` unless something was thrown before: what the team computes is lost anyway.
  template <class Work>
  void keep(Work&& work) noexcept {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      std::forward<Work>(work)();
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  // After the region, on the thread that opened it.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::atomic<bool> failed_ = false;
  std::exception_ptr error_;
};

}  // namespace switchyard
