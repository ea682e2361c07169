#include "model/linear.hpp"

namespace switchyard {

template <class In, class Out>
void linear_forward(Work& work, std::int64_t ranks, View<const In> x, const Param& weight,
                    View<Out> y) {
  for (std::int64_t i = 0; i < ranks; ++i) {
    gemm<In, Out>(work, rows_of_rank(x, ranks, i), Transpose::no, weight.input<In>(), Transpose::no,
                  rows_of_rank(y, ranks, i));
  }
}

template <class In, class Out>
void linear_backward_input(Work& work, std::int64_t ranks, View<const In> dy, const Param& weight,
                           View<Out> dx, Accumulate accumulate) {
  for (std::int64_t i = 0; i < ranks; ++i) {
    gemm<In, Out>(work, rows_of_rank(dy, ranks, i), Transpose::no, weight.input<In>(),
                  Transpose::yes, rows_of_rank(dx, ranks, i), accumulate);
  }
}

template <class In>
void linear_backward_weight(Work& work, View<const In> x, View<const In> dy, Param& weight) {
  const auto ranks = static_cast<std::int64_t>(weight.leaves.size());
  for (std::int64_t i = 0; i < ranks; ++i) {
    weight.leaves[static_cast<std::size_t>(i)].add_product(
        work, rows_of_rank(x, ranks, i), Transpose::yes, rows_of_rank(dy, ranks, i), Transpose::no);
  }
}

#define SWITCHYARD_INSTANTIATE(In, Out)                                                       \
  template void linear_forward(Work&, std::int64_t, View<const In>, const Param&, View<Out>); \
  template void linear_backward_input(Work&, std::int64_t, View<const In>, const Param&,      \
                                      View<Out>, Accumulate);

SWITCHYARD_INSTANTIATE(float, float)
SWITCHYARD_INSTANTIATE(bfloat16, float)
SWITCHYARD_INSTANTIATE(bfloat16, bfloat16)
#undef SWITCHYARD_INSTANTIATE

template void linear_backward_weight(Work&, View<const float>, View<const float>, Param&);
template void linear_backward_weight(Work&, View<const bfloat16>, View<const bfloat16>, Param&);

}  // namespace switchyard
