// Best fit among the free blocks, which are merged with free neighbours; if none fits, the used
// part of the range grows at its end. Small blocks are cut from larger ones permanently, so that
// the many short vectors of a step neither pay for the best-fit search nor end up between matrices.
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
// In bytes: the largest small block, and how much is cut into small blocks at a time.
constexpr std::size_t most_of_small = 1 << 10, small_blocks = 16 << 10;

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// A whole number of cache lines, plus one line between neighbours. AddressSanitizer poisons that
// gap (its macros expand to nothing in other builds), and it keeps matrices with power-of-two sizes
// from all starting in the same cache set.
std::size_t block_size(std::size_t bytes) { return rounded_up(bytes, line) + line; }

// Kept in the first line of the free block itself. That memory is poisoned for AddressSanitizer
// too, so functions that touch it are excluded from its instrumentation.
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
    FreeBlock** best = nullptr;  // the link that points to the best block
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

  // Reserves address space without memory: twice the machine's physical memory, or as much as the
  // limits on this process allow.
  void reserve() {
    reserved_ = 2 * static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
                static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    for (; reserved_ >= growth; reserved_ /= 2) {
      void* const range =
          mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) continue;
      base_ = static_cast<std::byte*>(range);
      // Huge pages, where the system offers them: matrices are also read down their columns.
      madvise(range, reserved_, MADV_HUGEPAGE);
      return;
    }
    reserved_ = 0;
  }

  // Grows at the end of the used part of the range; the last block there may already be free.
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
  // usable_: the part of the range that may be read and written.
  std::size_t reserved_ = 0, usable_ = 0, end_ = 0;
  FreeBlock* free_ = nullptr;  // sorted by address; no two are adjacent
  std::array<FreeBlock*, most_of_small / line + 1> small_{};  // free small blocks by size in lines
};

// Never destroyed, since a matrix may outlive every other static object.
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
