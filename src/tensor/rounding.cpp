#include "tensor/rounding.hpp"

#include "tensor/rows.hpp"

namespace switchyard {

template <class From, class To>
void convert(View<const From> x, View<To> y) {
  for_each_shared(x.rows, x.size(), [&](std::int64_t i) {
    const From* __restrict in = x.row(i);
    To* __restrict out = y.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) out[j] = from_float<To>(to_float(in[j]));
  });
}

template void convert(View<const float>, View<bfloat16>);
template void convert(View<const bfloat16>, View<float>);

void round_in_place(View<float> x) {
  for_each_shared(x.rows, x.size(), [&](std::int64_t i) {
    float* __restrict row = x.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) row[j] = round_to_bfloat16(row[j]);
  });
}

}  // namespace switchyard
