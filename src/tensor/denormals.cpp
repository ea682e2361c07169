#include "tensor/denormals.hpp"

#include "base/error.hpp"
#include "base/processor.hpp"

namespace switchyard {

bool flushes_to_zero() { return flushes_denormals_to_zero(); }

void set_flush_to_zero() {
  if (!flush_denormals_to_zero()) {
    throw Error(ExitCode::machine_cannot,
                "it is not known here how this processor flushes denormals to zero",
                "run on x86-64 or arm64");
  }
  bool all = true;
#pragma omp parallel reduction(&& : all)  // throws nothing
  all = flushes_to_zero();
  if (!all) {
    throw Error(ExitCode::machine_cannot,
                "a thread of this process does not flush denormals to zero",
                "start no OpenMP thread before main");
  }
}

}  // namespace switchyard
