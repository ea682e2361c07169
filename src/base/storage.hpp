// Memory for the matrices and vectors of a training step: one address range per process, separate
// from the heap. On the heap, long-lived allocations of libraries would land between the matrices
// of a step, and the slightly different sizes of the next step would not fit the gaps. Freed
// storage is reused and never returned to the system. All functions may be called from any thread.
#pragma once

#include <cstddef>

namespace switchyard {

// Returns 64-byte aligned memory with indeterminate contents; a distinct address even for 0 bytes.
// Throws std::bad_alloc.
void* allocate_storage(std::size_t bytes);
// Frees what allocate_storage(bytes) returned. Null is ignored.
void free_storage(void* place, std::size_t bytes) noexcept;

}  // namespace switchyard
