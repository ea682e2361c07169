// Where the matrices and vectors of a step live: one range of addresses for all those of the
// process, apart from the heap. There, what libraries keep for good would come to lie between the
// matrices of a step, and the next step's, of slightly other sizes, would not fit into the places
// that these leave. Freed storage is used again and never given back. Safe to call from any thread.
#pragma once

#include <cstddef>

namespace switchyard {

// 64-byte aligned, contents indeterminate; a place of its own even for 0 bytes. Throws
// std::bad_alloc.
void* allocate_storage(std::size_t bytes);
// What allocate_storage gave for so many bytes; null is left alone.
void free_storage(void* place, std::size_t bytes) noexcept;

}  // namespace switchyard
