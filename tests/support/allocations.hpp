// Counts what a test program holds by operator new, in all its forms and on all its threads, and as
// storage of matrices. Only for programs that link allocations.cpp, which replaces both.
#pragma once

#include <cstdint>

namespace switchyard::test {

// The most bytes held at once since it was made, beyond what was held then. One at a time.
class PeakAllocation {
 public:
  PeakAllocation();
  std::int64_t bytes() const;

 private:
  std::int64_t before_;
};

}  // namespace switchyard::test
