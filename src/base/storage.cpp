// Best fit among the free blocks, which are joined with their neighbours; otherwise the range's
// end. Small blocks are cut from larger ones for good, so that the many short vectors of a step
// neither wait for that search nor come to lie between matrices.
#include "base/storage.hpp"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <new>

namespace switchyard {
namespace {

constexpr std::size_t line = 64, growth = 16 << 20;
constexpr std::size_t most_of_small = 1 << 10, small_blocks = 16 << 10;  // bytes; of many together

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// Whole lines, and one between neighbours: AddressSanitizer watches it (its macros are nothing in
// other builds), and matrices of a power of two do not all begin in the same set of a cache.
std::size_t block_size(std::size_t bytes) { return rounded_up(bytes, line) + line; }

// Stands in the first line of the free block itself, which AddressSanitizer watches too: what
// touches it has to be left out of that.
struct FreeBlock {
  std::size_t size;
  FreeBlock* next;

  std::byte* begin() { return reinterpret_cast<std::byte*>(this); }
  [[gnu::no_sanitize_address]] std::byte* end() { return begin() + size; }
};

class Storage {
 public:
  Storage() { reserve(); }

  std::byte* take(std::size_t size) {
    const std::scoped_lock lock(mutex_);
    return size <= most_of_small ? take_small(size) : take_large(size);
  }

  void put(std::byte* place, std::size_t size) {
    const std::scoped_lock lock(mutex_);
    if (size <= most_of_small)
      put_small(place, size);
    else
      put_large(place, size);
  }

 private:
  [[gnu::no_sanitize_address]] std::byte* take_small(std::size_t size) {
    FreeBlock*& first = small_[size / line];
    if (first == nullptr) {
      std::byte* const all = take_large(small_blocks);
      for (std::size_t at = 0; at + size <= small_blocks; at += size) put_small(all + at, size);
    }
    FreeBlock* const block = first;
    first = block->next;
    return block->begin();
  }

  [[gnu::no_sanitize_address]] void put_small(std::byte* place, std::size_t size) {
    FreeBlock*& first = small_[size / line];
    first = new (place) FreeBlock{size, first};
  }

  [[gnu::no_sanitize_address]] std::byte* take_large(std::size_t size) {
    FreeBlock** best = nullptr;  // what points to it
    for (FreeBlock** at = &free_; *at != nullptr; at = &(*at)->next) {
      if ((*at)->size >= size && (best == nullptr || (*at)->size < (*best)->size)) best = at;
    }
    if (best == nullptr) return extend(size);
    const FreeBlock block = **best;
    std::byte* const place = (*best)->begin();
    *best = block.size == size ? block.next
                               : new (place + size) FreeBlock{block.size - size, block.next};
    return place;
  }

  [[gnu::no_sanitize_address]] void put_large(std::byte* place, std::size_t size) {
    FreeBlock *before = nullptr, *after = free_;
    while (after != nullptr && after->begin() < place) {
      before = after;
      after = after->next;
    }
    FreeBlock* const block = new (place) FreeBlock{size, after};
    if (after != nullptr && block->end() == after->begin())
      *block = {size + after->size, after->next};
    if (before == nullptr)
      free_ = block;
    else if (before->end() == place)
      *before = {before->size + block->size, block->next};
    else
      before->next = block;
  }

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
  [[gnu::no_sanitize_address]] std::byte* extend(std::size_t size) {
    FreeBlock** last = &free_;
    while (*last != nullptr && (*last)->next != nullptr) last = &(*last)->next;
    const bool joins = *last != nullptr && (*last)->end() == base_ + end_;
    const std::size_t first = joins ? end_ - (*last)->size : end_;
    make_usable(first + size);
    if (joins) *last = nullptr;
    end_ = first + size;
    return base_ + first;
  }

  void make_usable(std::size_t end) {
    if (end <= usable_) return;
    const std::size_t wanted = std::min(rounded_up(end, growth), reserved_);
    if (end > wanted || mprotect(base_, wanted, PROT_READ | PROT_WRITE) != 0)
      throw std::bad_alloc();
    ASAN_POISON_MEMORY_REGION(base_ + usable_, wanted - usable_);
    usable_ = wanted;
  }

  std::mutex mutex_;
  std::byte* base_ = nullptr;
  std::size_t reserved_ = 0, usable_ = 0, end_ = 0;           // usable: may be read and written
  FreeBlock* free_ = nullptr;                                 // by address; no two of them touch
  std::array<FreeBlock*, most_of_small / line + 1> small_{};  // by size in lines
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
