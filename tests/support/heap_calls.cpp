#include "support/heap_calls.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <set>
#include <sstream>

extern "C" const char __executable_start, etext;  // the linker's: the program's own text

namespace {

constexpr int most_frames = 24;
using Stack = std::array<void*, most_frames>;

// Space for the stacks of the first calls counted.
constexpr std::int64_t most_stacks = 4096;
std::array<Stack, most_stacks> stacks;
std::atomic<std::int64_t> calls{0};
std::atomic<bool> counting{false};
thread_local bool looking = false;  // backtrace() itself might allocate

bool is_ours(const void* place) { return place >= &__executable_start && place < &etext; }

// The text segment of the C++ library, which allocates on behalf of its caller.
struct Range {
  std::uintptr_t first = 0, last = 0;
  bool contains(const void* place) const {
    const auto at = reinterpret_cast<std::uintptr_t>(place);
    return at >= first && at < last;
  }
};

int find_cpp_library(dl_phdr_info* info, std::size_t, void* range) {
  if (std::string(info->dlpi_name).find("libstdc++") == std::string::npos) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || !(part.p_flags & PF_X)) continue;
    const std::uintptr_t first = info->dlpi_addr + part.p_vaddr;
    *static_cast<Range*>(range) = {first, first + part.p_memsz};
  }
  return 1;
}

Range cpp_library;  // set before anything is counted

// Attributes the call to the first function above operator new that is not in the C++ library.
void look(void* caller) {
  if (!counting || looking) return;
  if (!is_ours(caller) && !cpp_library.contains(caller)) return;
  looking = true;
  Stack stack{};
  void** const last = stack.begin() + backtrace(stack.data(), most_frames);
  void** const first =
      std::find_if_not(std::find(stack.begin(), last, caller), last,
                       [](const void* place) { return cpp_library.contains(place); });
  if (first != last && is_ours(*first)) {
    const std::int64_t i = calls++;
    if (i < most_stacks) {
      Stack& kept = stacks[static_cast<std::size_t>(i)];
      std::fill(std::copy(first, last, kept.begin()), kept.end(), nullptr);
    }
  }
  looking = false;
}

void* make(std::size_t size, void* caller) {
  look(caller);
  void* const memory = std::malloc(std::max<std::size_t>(size, 1));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* make(std::size_t size, std::align_val_t alignment, void* caller) {
  look(caller);
  const auto unit = static_cast<std::size_t>(alignment);
  void* const memory = std::aligned_alloc(unit, std::max(unit, (size + unit - 1) / unit * unit));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// Not inlined: where operator delete is, GCC would report that free() takes memory of operator new.
[[gnu::noinline]] void release(void* memory) { std::free(memory); }

}  // namespace

// The non-throwing forms call these; so do the array forms, which are the same call site.
void* operator new(std::size_t size) { return make(size, __builtin_return_address(0)); }
void* operator new[](std::size_t size) { return make(size, __builtin_return_address(0)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return make(size, alignment, __builtin_return_address(0));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return make(size, alignment, __builtin_return_address(0));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  look(__builtin_return_address(0));
  return std::malloc(std::max<std::size_t>(size, 1));
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  look(__builtin_return_address(0));
  return std::malloc(std::max<std::size_t>(size, 1));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace switchyard::test {

HeapCalls::HeapCalls() {
  Stack stack;
  // So that backtrace() loads its libraries before counting begins.
  backtrace(stack.data(), most_frames);
  dl_iterate_phdr(find_cpp_library, &cpp_library);
  calls = 0;
  counting = true;
}

void HeapCalls::stop() { counting = false; }

std::int64_t HeapCalls::count() const { return calls; }

std::string HeapCalls::places() const {
  Dl_info program{};
  dladdr(&__executable_start, &program);
  std::set<std::string> commands;
  for (std::int64_t i = 0; i < std::min(count(), most_stacks); ++i) {
    std::ostringstream command;
    command << "addr2line -Cfips -e " << program.dli_fname << std::hex;
    int frames = 0;
    for (void* const place : stacks[static_cast<std::size_t>(i)]) {
      if (!is_ours(place) || ++frames > 4) continue;
      command << " 0x"
              << static_cast<const char*>(place) - static_cast<const char*>(program.dli_fbase) - 1;
    }
    commands.insert(command.str());
  }
  std::string text;
  for (const std::string& command : commands) text += command + "\n";
  return text;
}

}  // namespace switchyard::test
