// Detects heap allocations by this program's own code: calls of operator new, in all its forms and
// on all threads, from the program's text, directly or through the C++ library. Libraries loaded by
// the program may allocate. Only for programs that link heap_calls.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard::test {

// Counts from construction to stop(). Only one object at a time.
class HeapCalls {
 public:
  HeapCalls();
  ~HeapCalls() { stop(); }
  HeapCalls(const HeapCalls&) = delete;
  HeapCalls& operator=(const HeapCalls&) = delete;

  void stop();
  std::int64_t count() const;
  // Where the first calls came from, innermost frame first, as a command that prints the functions'
  // names.
  std::string places() const;
};

}  // namespace switchyard::test
