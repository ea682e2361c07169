// Functions that use the widest vectors the CPU has. A function marked SWITCHYARD_WIDE is compiled
// twice, for the build's own instruction set and with AVX-512, and the loader chooses one. Both
// versions perform the same operations in the same order, since the compiler may not contract any,
// so their bits are equal.
#pragma once

#define SWITCHYARD_WIDE __attribute__((flatten, target_clones("arch=x86-64-v4", "default")))
