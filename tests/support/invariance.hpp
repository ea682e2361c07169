// What every sweep must guarantee: the same bits for any number of threads, and for each row
// independently of the other rows.
#pragma once

#include <gtest/gtest.h>
#include <omp.h>

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace switchyard {

inline std::vector<std::uint32_t> bits_of(std::span<const float> x) {
  std::vector<std::uint32_t> bits;
  for (const float value : x) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

// compute() returns bits, which must be equal for teams of 1, 2 and 3 threads and for a call from
// inside a team.
template <class Compute>
void expect_same_bits_in_every_team(Compute compute) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto expected = compute();
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(compute(), expected) << "team of " << threads;
  }
  std::vector<decltype(compute())> inside(2);
#pragma omp parallel num_threads(2)
  inside[static_cast<std::size_t>(omp_get_thread_num())] = compute();
  for (const auto& result : inside) EXPECT_EQ(result, expected) << "inside a team";
  omp_set_num_threads(before);
}

}  // namespace switchyard
