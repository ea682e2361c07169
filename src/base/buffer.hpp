// Containers for what is allocated and freed within each training step. They take memory from the
// storage of base/storage.hpp instead of the heap, so that a step makes no heap allocation. Use
// std::vector for anything that outlives a step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "base/storage.hpp"

namespace switchyard {

template <class T>
struct StorageAllocator {
  using value_type = T;

  StorageAllocator() = default;
  template <class U>
  StorageAllocator(const StorageAllocator<U>&) {}

  T* allocate(std::size_t count) { return static_cast<T*>(allocate_storage(count * sizeof(T))); }
  void deallocate(T* place, std::size_t count) noexcept { free_storage(place, count * sizeof(T)); }
  bool operator==(const StorageAllocator&) const = default;
};

template <class T>
using Buffer = std::vector<T, StorageAllocator<T>>;

using Text = std::basic_string<char, std::char_traits<char>, StorageAllocator<char>>;

// Compares element by element; the two containers may use different allocators.
template <class T>
bool operator==(const Buffer<T>& left, const std::vector<T>& right) {
  return std::ranges::equal(left, right);
}

// Base class whose derived types take their memory from storage when made with `new`.
struct InStorage {
  static void* operator new(std::size_t bytes) { return allocate_storage(bytes); }
  static void operator delete(void* place, std::size_t bytes) noexcept {
    free_storage(place, bytes);
  }
};

}  // namespace switchyard
