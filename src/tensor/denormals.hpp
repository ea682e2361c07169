// The CPU mode in which denormals are zero: they cost time, and kernels differ in them.
#pragma once

namespace switchyard {

// main calls it first, so that every thread made later inherits the mode. Throws
// Error(machine_cannot) where a thread would not flush denormals.
void set_flush_to_zero();
bool flushes_to_zero();  // of the calling thread

}  // namespace switchyard
