// Element-wise sweeps: addition, ReLU, gated GELU.
#include "tensor/ops.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {

void add(View<const float> x, View<float> y) {
  for_each_row(x.rows, x.size(), [&](std::int64_t i) {
    const float* __restrict in = x.row(i);
    float* __restrict out = y.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) out[j] += in[j];
  });
}

template <class T>
void relu_forward(ConstView<T> x, View<T> y) {
  for_each_row(x.rows, x.size(), [&](std::int64_t i) {
    const T* in = x.row(i);
    T* out = y.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) {
      const float value = to_float(in[j]);
      out[j] = from_float<T>(value < 0 ? 0.0f : value);
    }
  });
}

template <class T>
void relu_backward(ConstView<T> x, View<T> d) {
  for_each_row(x.rows, x.size(), [&](std::int64_t i) {
    const T* __restrict in = x.row(i);
    T* __restrict out = d.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) {
      out[j] = from_float<T>(to_float(in[j]) > 0 ? to_float(out[j]) : 0.0f);
    }
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

template <class T>
void gated_gelu_forward(ConstView<T> a, ConstView<T> b, View<T> y) {
  for_each_row(a.rows, a.size(), [&](std::int64_t i) {
    const T* ai = a.row(i);
    const T* bi = b.row(i);
    T* out = y.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < a.cols; ++j) {
      const float at = to_float(ai[j]);
      out[j] = from_float<T>(at * gelu_gate(at) * to_float(bi[j]));
    }
  });
}

template <class T>
void gated_gelu_backward(ConstView<T> a, ConstView<T> b, ConstView<T> dy, View<T> da, View<T> db) {
  for_each_row(a.rows, a.size(), [&](std::int64_t i) {
    const T* ai = a.row(i);
    const T* bi = b.row(i);
    const T* d = dy.row(i);
    T* dai = da.row(i);
    T* dbi = db.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < a.cols; ++j) {
      const float at = to_float(ai[j]), gate = gelu_gate(at), upstream = to_float(d[j]);
      const float inner = gelu_slope * (1.0f + 3.0f * gelu_cubic * at * at);
      const float slope = gate + at * gate * (1.0f - gate) * inner;
      dai[j] = from_float<T>(upstream * to_float(bi[j]) * slope);
      dbi[j] = from_float<T>(upstream * at * gate);
    }
  });
}

#define SWITCHYARD_INSTANTIATE(T)                                                            \
  template void relu_forward<T>(View<const T>, View<T>);                                     \
  template void relu_backward<T>(View<const T>, View<T>);                                    \
  template void gated_gelu_forward<T>(View<const T>, View<const T>, View<T>);                \
  template void gated_gelu_backward<T>(View<const T>, View<const T>, View<const T>, View<T>, \
                                       View<T>);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
