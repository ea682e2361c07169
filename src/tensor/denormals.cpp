#include "tensor/denormals.hpp"

#include <xmmintrin.h>

#include "base/error.hpp"

namespace switchyard {
namespace {

// MXCSR bits: flush to zero (FTZ) and denormals are zero (DAZ).
constexpr unsigned flush_bits = 0x8040;

}  // namespace

bool flushes_to_zero() { return (_mm_getcsr() & flush_bits) == flush_bits; }

void set_flush_to_zero() {
  _mm_setcsr(_mm_getcsr() | flush_bits);
  bool all = true;
#pragma omp parallel reduction(&& : all)  // throws nothing
  all = flushes_to_zero();
  if (!all) {
    throw Error(ExitCode::machine_cannot,
                "a thread of this process does not flush denormals to zero",
                "run on x86-64 and start no OpenMP thread before main");
  }
}

}  // namespace switchyard
