// Functions that use the widest vectors the CPU has. On x86-64 a function marked SWITCHYARD_WIDE is
// compiled twice, for the build's own instruction set and with AVX-512, and the loader chooses one.
// Both versions perform the same operations in the same order, since the compiler may not contract
// any, so their bits are equal. On other architectures it is compiled once.
#pragma once

#if defined(__x86_64__)
#define SWITCHYARD_WIDE __attribute__((flatten, target_clones("arch=x86-64-v4", "default")))
#else
#define SWITCHYARD_WIDE __attribute__((flatten))
#endif
