// The difference between f32 results and those of an f64 reference.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace switchyard {

inline double distance(const std::vector<float>& got, const std::vector<double>& want) {
  double sum = 0;
  for (std::size_t i = 0; i < got.size(); ++i) sum += (got[i] - want[i]) * (got[i] - want[i]);
  return std::sqrt(sum);
}

inline double norm(const std::vector<double>& x) {
  return distance(std::vector<float>(x.size(), 0.0f), x);
}

// Within `tolerance` of the reference's norm.
inline void expect_close(const char* what, const std::vector<float>& got,
                         const std::vector<double>& want, double tolerance = 1e-5) {
  ASSERT_EQ(got.size(), want.size()) << what;
  EXPECT_LE(distance(got, want), tolerance * norm(want)) << what << " of norm " << norm(want);
}

}  // namespace switchyard
