// The CPU mode in which denormals are treated as zero: they are slow, and kernels handle them
// differently.
#pragma once

namespace switchyard {

// Called by main before any other thread exists, so that every thread inherits the mode. Throws
// Error(machine_cannot) where some thread does not flush denormals.
void set_flush_to_zero();
bool flushes_to_zero();  // of the calling thread

}  // namespace switchyard
