#include "tensor/rounding.hpp"

#include "tensor/rows.hpp"

namespace switchyard {

template <class From, class To>
SWITCHYARD_WIDE void convert_row(const From* __restrict in, std::int64_t n, To* __restrict out) {
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) out[j] = from_float<To>(to_float(in[j]));
}

template <class From, class To>
void convert(View<const From> x, View<To> y) {
  for_each_shared(x.rows, x.size(),
                  [&](std::int64_t i) { convert_row(x.row(i), x.cols, y.row(i)); });
}

template void convert_row(const float*, std::int64_t, bfloat16*);
template void convert_row(const bfloat16*, std::int64_t, float*);
template void convert(View<const float>, View<bfloat16>);
template void convert(View<const bfloat16>, View<float>);

void round_in_place(View<float> x) {
  for_each_row(x.rows, x.size(), [&](std::int64_t i) {
    float* __restrict row = x.row(i);
#pragma omp simd
    for (std::int64_t j = 0; j < x.cols; ++j) row[j] = round_to_bfloat16(row[j]);
  });
}

}  // namespace switchyard
