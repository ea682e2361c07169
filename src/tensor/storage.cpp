// Best fit among the free blocks, which are joined with their neighbours; otherwise the range's
// end.
#include "tensor/storage.hpp"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>

namespace switchyard {
namespace {

constexpr std::size_t line = 64, growth = 16 << 20;

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// Whole lines, and one between neighbours: AddressSanitizer watches it (its macros are nothing in
// other builds), and matrices of a power of two do not all begin in the same set of a cache.
std::size_t block_size(std::size_t bytes) { return rounded_up(bytes, line) + line; }

class Storage {
 public:
  Storage() { reserve(); }

  std::byte* take(std::size_t size) {
    const std::scoped_lock lock(mutex_);
    auto best = free_.end();
    for (auto block = free_.begin(); block != free_.end(); ++block) {
      if (block->second >= size && (best == free_.end() || block->second < best->second))
        best = block;
    }
    if (best == free_.end()) return extend(size);
    const auto [place, available] = *best;
    free_.erase(best);
    if (available > size) free_.emplace(place + size, available - size);
    return place;
  }

  void put(std::byte* place, std::size_t size) {
    const std::scoped_lock lock(mutex_);
    auto next = free_.lower_bound(place);
    if (next != free_.end() && next->first == place + size) {
      size += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == place) {
        before->second += size;
        return;
      }
    }
    free_.emplace_hint(next, place, size);
  }

 private:
  // Addresses alone, for twice the machine's memory, or as much as a limit allows.
  void reserve() {
    reserved_ = 2 * static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
                static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    for (; reserved_ >= growth; reserved_ /= 2) {
      void* const range =
          mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) continue;
      base_ = static_cast<std::byte*>(range);
      // Large pages, where the system has them to give: matrices are walked down their columns.
      madvise(range, reserved_, MADV_HUGEPAGE);
      return;
    }
    reserved_ = 0;
  }

  // At the end of what is in use, where the last block may be free already.
  std::byte* extend(std::size_t size) {
    std::size_t first = end_;
    const auto last = free_.empty() ? free_.end() : std::prev(free_.end());
    const bool joins = last != free_.end() && last->first + last->second == base_ + end_;
    if (joins) first -= last->second;
    const std::size_t end = first + size;
    if (end > usable_) {
      const std::size_t wanted = std::min(rounded_up(end, growth), reserved_);
      if (end > wanted || mprotect(base_, wanted, PROT_READ | PROT_WRITE) != 0)
        throw std::bad_alloc();
      ASAN_POISON_MEMORY_REGION(base_ + usable_, wanted - usable_);
      usable_ = wanted;
    }
    if (joins) free_.erase(last);
    end_ = end;
    return base_ + first;
  }

  std::mutex mutex_;
  std::byte* base_ = nullptr;
  std::size_t reserved_ = 0, usable_ = 0, end_ = 0;  // usable: may be read and written
  std::map<std::byte*, std::size_t> free_;           // no two of them touch
};

// Never destroyed: a matrix may outlive everything.
Storage& storage() {
  static Storage& only = *new Storage;
  return only;
}

}  // namespace

void* allocate_storage(std::size_t bytes) {
  std::byte* const place = storage().take(block_size(bytes));
  ASAN_UNPOISON_MEMORY_REGION(place, bytes);
  return place;
}

void free_storage(void* place, std::size_t bytes) noexcept {
  if (place == nullptr) return;
  ASAN_POISON_MEMORY_REGION(place, bytes);
  storage().put(static_cast<std::byte*>(place), block_size(bytes));
}

}  // namespace switchyard
