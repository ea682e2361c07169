// Sweeps for the widest vectors that the processor has. On x86-64 a function so marked is compiled
// twice, for the build's own instruction set and with AVX-512, and the loader takes its pick. Both
// do the same operations in the same order, since no contraction is left to the compiler: the bits
// are the same. Elsewhere it is compiled once.
#pragma once

#if defined(__x86_64__)
#define SWITCHYARD_WIDE __attribute__((flatten, target_clones("arch=x86-64-v4", "default")))
#else
#define SWITCHYARD_WIDE __attribute__((flatten))
#endif
