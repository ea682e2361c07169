// Replaces operator new and base/storage.cpp by functions that count for the process that has the
// turn. Libraries keep their own operator new, so memory may come here that was allocated there,
// and the other way round: what is not in the table of blocks is not counted.
#include "rank_counters.hpp"

#include <execinfo.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <simgrid/s4u/Actor.hpp>
#include <unordered_map>

#include "base/storage.hpp"

namespace switchyard::simulated {
namespace {

constexpr std::size_t most_processes = 1 << 17;
RankCounters counters[most_processes];
bool counting = false;

struct Block {
  RankCounters* owner;
  std::int64_t bytes;
};

// Memory for the table of blocks itself.
template <class T>
struct Uncounted {
  using value_type = T;
  Uncounted() = default;
  template <class U>
  Uncounted(const Uncounted<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(std::malloc(n * sizeof(T))); }
  void deallocate(T* place, std::size_t) { std::free(place); }
  bool operator==(const Uncounted&) const = default;
};
using Blocks = std::unordered_map<void*, Block, std::hash<void*>, std::equal_to<void*>,
                                  Uncounted<std::pair<void* const, Block>>>;

Blocks& blocks() {
  static Blocks& only = *new (std::malloc(sizeof(Blocks))) Blocks;
  return only;
}

void forget(void* place) {
  const auto at = blocks().find(place);
  if (at == blocks().end()) return;
  at->second.owner->held -= at->second.bytes;
  blocks().erase(at);
}

void* counted(void* place, std::size_t size) {
  if (place == nullptr) throw std::bad_alloc();
  if (!counting || simgrid::s4u::this_actor::is_maestro()) return place;
  forget(place);  // freed by a library
  RankCounters& own = own_counters();
  const auto bytes = static_cast<std::int64_t>(size);
  blocks().emplace(place, Block{&own, bytes});
  own.held += bytes;
  own.most = std::max(own.most, own.held);
  if (bytes <= own.largest) return place;
  own.largest = bytes;
  own.largest_from.fill(nullptr);
  if (bytes > 4096) backtrace(own.largest_from.data(), static_cast<int>(own.largest_from.size()));
  return place;
}

void* allocate(std::size_t size, std::size_t alignment) {
  const std::size_t whole = std::max(alignment, (size + alignment - 1) / alignment * alignment);
  return counted(std::aligned_alloc(alignment, whole), size);
}

void release(void* place) noexcept {
  if (place == nullptr) return;
  if (counting) forget(place);
  std::free(place);
}

}  // namespace

RankCounters& own_counters() {
  return counters[static_cast<std::size_t>(simgrid::s4u::this_actor::get_pid()) % most_processes];
}

void start_counting() { counting = true; }

void start_period(RankCounters& own) {
  own.most = own.held;
  own.largest = 0;
}

}  // namespace switchyard::simulated

using switchyard::simulated::allocate;
using switchyard::simulated::counted;
using switchyard::simulated::release;

void* operator new(std::size_t size) {
  return counted(std::malloc(std::max<std::size_t>(size, 1)), size);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* place) noexcept { release(place); }
void operator delete(void* place, std::size_t) noexcept { release(place); }
void operator delete(void* place, std::align_val_t) noexcept { release(place); }
void operator delete(void* place, std::size_t, std::align_val_t) noexcept { release(place); }

namespace switchyard {

void* allocate_storage(std::size_t bytes) { return simulated::allocate(bytes, 64); }
void free_storage(void* place, std::size_t) noexcept { simulated::release(place); }

}  // namespace switchyard
