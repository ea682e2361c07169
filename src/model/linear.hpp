// y = x W for all hosted virtual ranks: one product a virtual rank, so that oneDNN sees the same
// matrices however many of them share a process, and each adds to its own gradient leaf.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/gemm.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// x [h*N, A], weight [A, B] -> y [h*N, B], written.
void linear_forward(Work& work, std::int64_t ranks, View<const float> x, const Param& weight,
                    View<float> y);
// dy [h*N, B] -> dx [h*N, A], written or added to.
void linear_backward_input(Work& work, std::int64_t ranks, View<const float> dy,
                           const Param& weight, View<float> dx, Accumulate accumulate);
// Adds x_i^T dy_i to leaf i of the weight's gradient.
void linear_backward_weight(Work& work, View<const float> x, View<const float> dy, Param& weight);

// The rows of the i-th of `ranks` virtual ranks.
template <class T>
View<T> rows_of_rank(View<T> all, std::int64_t ranks, std::int64_t i) {
  return all.row_range(i * (all.rows / ranks), all.rows / ranks);
}

}  // namespace switchyard
