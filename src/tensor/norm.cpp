// RMSNorm, forward and backward.
#include <algorithm>
#include <cmath>

#include "tensor/ops.hpp"
#include "tensor/rows.hpp"

namespace switchyard {

template <class T>
void rms_norm_forward(View<const float> x, std::span<const float> scale, float epsilon, View<T> y,
                      std::span<float> inverse_rms) {
  const std::int64_t width = x.cols;
  for_each_row(x.rows, x.size(), [&](std::int64_t i) {
    const float* __restrict in = x.row(i);
    const float* __restrict s = scale.data();
    T* __restrict out = y.row(i);
    const float squares = lane_sum(width, [=](std::int64_t j) { return in[j] * in[j]; });
    const float r = 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon);
    inverse_rms[static_cast<std::size_t>(i)] = r;
#pragma omp simd
    for (std::int64_t j = 0; j < width; ++j) out[j] = from_float<T>(in[j] * r * s[j]);
  });
}

template void rms_norm_forward(View<const float>, std::span<const float>, float, View<float>,
                               std::span<float>);
template void rms_norm_forward(View<const float>, std::span<const float>, float, View<bfloat16>,
                               std::span<float>);

void rms_norm_backward(View<const float> dy, View<const float> x, std::span<const float> scale,
                       std::span<const float> inverse_rms, View<float> dx,
                       std::span<float> d_scale) {
  constexpr std::int64_t block_rows = 64;
  const std::int64_t width = x.cols;
  const std::int64_t blocks = (x.rows + block_rows - 1) / block_rows;
  auto block_sums = Tensor<float>::zeros(blocks, width);
  for_each_row(blocks, x.size(), [&](std::int64_t block) {
    float* __restrict sums = block_sums.view().row(block);
    const float* __restrict s = scale.data();
    const std::int64_t last = std::min(x.rows, (block + 1) * block_rows);
    for (std::int64_t i = block * block_rows; i < last; ++i) {
      const float* __restrict in = x.row(i);
      const float* __restrict d_out = dy.row(i);
      float* __restrict d_in = dx.row(i);
      const float r = inverse_rms[static_cast<std::size_t>(i)];
      const float dot = lane_sum(width, [=](std::int64_t j) { return d_out[j] * s[j] * in[j]; });
      const float along = dot * r * r / static_cast<float>(width);
#pragma omp simd
      for (std::int64_t j = 0; j < width; ++j) {
        d_in[j] += r * (d_out[j] * s[j] - in[j] * along);
        sums[j] += d_out[j] * (in[j] * r);
      }
    }
  });
  for (std::int64_t block = 0; block < blocks; ++block) {
    const float* __restrict sums = block_sums.view().row(block);
    float* __restrict total = d_scale.data();
#pragma omp simd
    for (std::int64_t j = 0; j < width; ++j) total[j] += sums[j];
  }
}

}  // namespace switchyard
