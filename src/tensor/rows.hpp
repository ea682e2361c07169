// How sweeps divide their work and sum: threads take whole rows, and a sum runs in sixteen lanes
// that are joined in a fixed order, so no bit depends on the number of threads or rows. For the
// sweeps of tensor/ and moe/.
#pragma once

#include <omp.h>

#include <cstdint>
#include <limits>

#include "base/team_failure.hpp"
#include "tensor/wide.hpp"

namespace switchyard {

// Whether a team of threads could share a loop: there must be more than one thread, and no
// enclosing loop may be shared already. Checked before entering a parallel region, since OpenMP
// would create even a team of one, with memory and a system call each time.
inline bool team_possible() { return omp_get_max_threads() > 1 && !omp_in_parallel(); }

// Calls f(i) for i in [0, count). Threads share the calls if the work, measured in elements
// touched, is large enough and no enclosing loop is shared already.
template <class F>
void for_each_shared(std::int64_t count, std::int64_t elements, F f) {
  constexpr std::int64_t worth_sharing = 1 << 14;
  if (count > 1 && elements >= worth_sharing && team_possible()) {
    TeamFailure failure;
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < count; ++i) failure.keep([&] { f(i); });
    failure.rethrow();
  } else {
    for (std::int64_t i = 0; i < count; ++i) f(i);
  }
}

// Calls f(i), compiled for the widest vectors that the CPU has.
template <class F>
SWITCHYARD_WIDE void call_wide(const F& f, std::int64_t i) {
  f(i);
}

// Like for_each_shared, but with f(i), which treats one row, compiled for the widest vectors.
template <class F>
void for_each_row(std::int64_t count, std::int64_t elements, F f) {
  for_each_shared(count, elements, [&](std::int64_t i) { call_wide(f, i); });
}

inline constexpr int lanes = 16;

// term(0) + … + term(n-1), summed in lanes: term i is added to lane i % 16.
template <class T = float, class Term>
T lane_sum(std::int64_t n, Term term) {
  T sum[lanes] = {};
  const std::int64_t whole = n / lanes * lanes;
  for (std::int64_t i = 0; i < whole; i += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) sum[l] += term(i + l);
  }
  for (std::int64_t i = whole; i < n; ++i) sum[i - whole] += term(i);
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) sum[l] += sum[l + width];
  }
  return sum[0];
}

// The largest of x[0 … n-1], ignoring NaN; -inf where there is no other value.
inline float lane_max(const float* x, std::int64_t n) {
  float best[lanes];
  for (float& b : best) b = -std::numeric_limits<float>::infinity();
  const std::int64_t whole = n / lanes * lanes;
  for (std::int64_t i = 0; i < whole; i += lanes) {
#pragma omp simd
    for (int l = 0; l < lanes; ++l) best[l] = x[i + l] > best[l] ? x[i + l] : best[l];
  }
  for (std::int64_t i = whole; i < n; ++i) best[0] = x[i] > best[0] ? x[i] : best[0];
  for (int l = 1; l < lanes; ++l) best[0] = best[l] > best[0] ? best[l] : best[0];
  return best[0];
}

}  // namespace switchyard
