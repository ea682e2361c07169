// Catches allocations on the heap that our own code makes: calls of operator new, in all its forms
// and on all threads, out of the program's own text, directly or through the C++ library. Libraries
// that the program loads may allocate what they want. Only for programs that link heap_calls.cpp.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard::test {

// Counts from its construction to stop(). One at a time.
class HeapCalls {
 public:
  HeapCalls();
  ~HeapCalls() { stop(); }
  HeapCalls(const HeapCalls&) = delete;
  HeapCalls& operator=(const HeapCalls&) = delete;

  void stop();
  std::int64_t count() const;
  // Where the first of them came from, innermost call first, as a command that prints their names.
  std::string places() const;
};

}  // namespace switchyard::test
