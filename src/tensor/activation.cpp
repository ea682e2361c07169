// The element-wise sweeps: addition, ReLU, gated GELU, dropout.
#include <algorithm>
#include <array>

#include "tensor/ops.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {

void add(View<const float> x, View<float> y) {
  for_each_shared(x.rows, x.size(), [&](std::int64_t i) {
    const float* __restrict in = x.row(i);
    float* __restrict out = y.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) out[j] += in[j];
  });
}

void relu_forward(View<const float> x, View<float> y) {
  for_each_shared(x.rows, x.size(), [&](std::int64_t i) {
    const float* in = x.row(i);
    float* out = y.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) out[j] = in[j] < 0 ? 0.0f : in[j];
  });
}

void relu_backward(View<const float> x, View<float> d) {
  for_each_shared(x.rows, x.size(), [&](std::int64_t i) {
    const float* __restrict in = x.row(i);
    float* __restrict out = d.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) out[j] = in[j] > 0 ? out[j] : 0.0f;
  });
}

namespace {

constexpr float gelu_slope = 1.5957691216f;  // 2 sqrt(2/pi)
constexpr float gelu_cubic = 0.044715f;

// gelu_tanh(a) = a (1 + tanh u) / 2 = a sigmoid(2u), u = sqrt(2/pi) (a + 0.044715 a^3).
inline float gelu_gate(float a) {
  return 1.0f / (1.0f + fast_exp(-gelu_slope * a * (1.0f + gelu_cubic * a * a)));
}

}  // namespace

void gated_gelu_forward(View<const float> a, View<const float> b, View<float> y) {
  for_each_shared(a.rows, a.size(), [&](std::int64_t i) {
    const float* ai = a.row(i);
    const float* bi = b.row(i);
    float* out = y.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < a.cols; ++j) out[j] = ai[j] * gelu_gate(ai[j]) * bi[j];
  });
}

void gated_gelu_backward(View<const float> a, View<const float> b, View<const float> dy,
                         View<float> da, View<float> db) {
  for_each_shared(a.rows, a.size(), [&](std::int64_t i) {
    const float* ai = a.row(i);
    const float* bi = b.row(i);
    const float* d = dy.row(i);
    float* dai = da.row(i);
    float* dbi = db.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < a.cols; ++j) {
      const float at = ai[j], gate = gelu_gate(at), upstream = d[j];
      const float inner = gelu_slope * (1.0f + 3.0f * gelu_cubic * at * at);
      const float slope = gate + at * gate * (1.0f - gate) * inner;
      dai[j] = upstream * bi[j] * slope;
      dbi[j] = upstream * at * gate;
    }
  });
}

namespace {

// words [4 blocks]: a loop the compiler vectorises, eight blocks at a time.
void draw(const RandomStream& stream, std::uint64_t item, std::uint64_t first, std::int64_t blocks,
          std::uint32_t* __restrict words) {
  for (std::int64_t k = 0; k < blocks; ++k) {
    const auto four = stream.block(item, first + static_cast<std::uint64_t>(k));
    words[4 * k] = four[0];
    words[4 * k + 1] = four[1];
    words[4 * k + 2] = four[2];
    words[4 * k + 3] = four[3];
  }
}

void drop(const std::uint32_t* __restrict words, std::int64_t n, float rate, float* __restrict x) {
  const float kept = 1.0f / (1.0f - rate);
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) {
    const float factor = unit_float(words[j]) < rate ? 0.0f : kept;
    x[j] *= factor;
  }
}

}  // namespace

void apply_dropout(View<float> x, float rate, const RandomStream& stream,
                   std::span<const std::uint64_t> token_index, std::int64_t first_element) {
  if (rate == 0) return;
  constexpr std::int64_t chunk = 64;  // blocks of four elements drawn at a time
  for_each_shared(x.rows, 16 * x.size(), [&](std::int64_t i) {
    const std::uint64_t token = token_index[static_cast<std::size_t>(i)];
    const std::int64_t last = first_element + x.cols;
    alignas(64) std::uint32_t words[4 * chunk];
    for (std::int64_t block = first_element / 4; 4 * block < last; block += chunk) {
      const std::int64_t blocks = std::min(chunk, (last + 3) / 4 - block);
      draw(stream, token, static_cast<std::uint64_t>(block), blocks, words);
      const std::int64_t from = std::max(first_element, 4 * block);
      const std::int64_t to = std::min(last, 4 * (block + blocks));
      drop(words + (from - 4 * block), to - from, rate, x.row(i) + (from - first_element));
    }
  });
}

}  // namespace switchyard
