#include "support/allocations.hpp"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "base/storage.hpp"

namespace {

std::atomic<std::int64_t> held{0}, most{0};

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  const auto size = static_cast<std::int64_t>(malloc_usable_size(memory));
  const std::int64_t now = held.fetch_add(size) + size;
  std::int64_t seen = most.load();
  while (now > seen && !most.compare_exchange_weak(seen, now)) {
  }
  return memory;
}

void release(void* memory) {
  if (memory == nullptr) return;
  held.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(memory)));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
  return counted(std::malloc(std::max<std::size_t>(size, 1)));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(unit, std::max(unit, (size + unit - 1) / unit * unit)));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

// Replaces the functions of base/storage.cpp, which is then not linked.
namespace switchyard {
void* allocate_storage(std::size_t bytes) { return ::operator new (bytes, std::align_val_t{64}); }
void free_storage(void* place, std::size_t) noexcept {
  ::operator delete (place, std::align_val_t{64});
}
}  // namespace switchyard

namespace switchyard::test {

PeakAllocation::PeakAllocation() : before_(held.load()) { most.store(before_); }

std::int64_t PeakAllocation::bytes() const { return most.load() - before_; }

}  // namespace switchyard::test
