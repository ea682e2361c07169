#include "model/linear.hpp"

namespace switchyard {

void linear_forward(Work& work, std::int64_t ranks, View<const float> x, const Param& weight,
                    View<float> y) {
  for (std::int64_t i = 0; i < ranks; ++i) {
    gemm<float, float>(work, rows_of_rank(x, ranks, i), Transpose::no, weight.value, Transpose::no,
                       rows_of_rank(y, ranks, i));
  }
}

void linear_backward_input(Work& work, std::int64_t ranks, View<const float> dy,
                           const Param& weight, View<float> dx, Accumulate accumulate) {
  for (std::int64_t i = 0; i < ranks; ++i) {
    gemm<float, float>(work, rows_of_rank(dy, ranks, i), Transpose::no, weight.value,
                       Transpose::yes, rows_of_rank(dx, ranks, i), accumulate);
  }
}

void linear_backward_weight(Work& work, View<const float> x, View<const float> dy, Param& weight) {
  const auto ranks = static_cast<std::int64_t>(weight.leaves.size());
  for (std::int64_t i = 0; i < ranks; ++i) {
    gemm<float, float>(work, rows_of_rank(x, ranks, i), Transpose::yes, rows_of_rank(dy, ranks, i),
                       Transpose::no, weight.leaves[static_cast<std::size_t>(i)], Accumulate::yes);
  }
}

}  // namespace switchyard
