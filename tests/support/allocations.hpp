// Counts the memory that a test program holds through operator new, in all its forms and on all
// threads, and as storage of matrices. Only for programs that link allocations.cpp, which replaces
// both.
#pragma once

#include <cstdint>

namespace switchyard::test {

// The peak of allocated bytes since construction, relative to the amount at that time. Only one
// object at a time.
class PeakAllocation {
 public:
  PeakAllocation();
  std::int64_t bytes() const;

 private:
  std::int64_t before_;
};

}  // namespace switchyard::test
