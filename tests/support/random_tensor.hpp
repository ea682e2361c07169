// Operands for tests: reproducible values in [-1, 1), and comparison of whole tensors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/bfloat16.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

template <class T = float>
Tensor<T> random_tensor(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  auto tensor = Tensor<T>::uninitialized(rows, cols);
  const auto flat = tensor.flat();
  std::uint64_t state = seed;
  for (std::size_t i = 0; i < flat.size(); ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;  // Knuth's MMIX generator
    const float value = static_cast<float>(state >> 40) * 0x1p-23f - 1;
    if constexpr (std::is_same_v<T, float>) {
      flat[i] = value;
    } else {
      flat[i] = to_bfloat16(value);
    }
  }
  return tensor;
}

inline Tensor<float> copy_of(View<const float> x) {
  auto copy = Tensor<float>::uninitialized(x.rows, x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i) std::copy_n(x.row(i), x.cols, copy.view().row(i));
  return copy;
}

inline std::vector<double> as_doubles(std::span<const float> x) { return {x.begin(), x.end()}; }

// ||x - reference|| / ||reference||
inline double relative_error(std::span<const float> x, std::span<const double> reference) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference += (x[i] - reference[i]) * (x[i] - reference[i]);
    norm += reference[i] * reference[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-300));
}

}  // namespace switchyard
