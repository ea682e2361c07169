// Numbers for tests: uniform draws that are the same on every process.
#pragma once

#include <cstdint>
#include <vector>

#include "base/philox.hpp"

namespace switchyard {

// n values in [-limit, limit), exact in f32.
inline std::vector<float> uniform(std::uint64_t seed, std::int64_t n, float limit = 1) {
  const RandomStream stream(seed, Purpose::initial_weight, 0, 0);
  std::vector<float> values(n);
  for (std::int64_t i = 0; i < n; ++i)
    values[i] = limit * (2 * unit_float(stream.block(i, 0)[0]) - 1);
  return values;
}

inline std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace switchyard
