// y = x W for all hosted virtual ranks: one product per virtual rank, so that oneDNN sees the same
// matrix shapes however many of them share a process, and each virtual rank adds to its own
// gradient leaf. In is the type of matrix-product inputs; Out is that of the result: In if it
// enters another product, else float.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/gemm.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// x [h*N, A], weight [A, B] -> y [h*N, B], written.
template <class In, class Out>
void linear_forward(Work& work, std::int64_t ranks, View<const In> x, const Param& weight,
                    View<Out> y);
// dy [h*N, B] -> dx [h*N, A], overwritten or added to.
template <class In, class Out>
void linear_backward_input(Work& work, std::int64_t ranks, View<const In> dy, const Param& weight,
                           View<Out> dx, Accumulate accumulate);
// Adds x_i^T dy_i to gradient leaf i of the weight, for each hosted virtual rank i.
template <class In>
void linear_backward_weight(Work& work, View<const In> x, View<const In> dy, Param& weight);

// The rows of x that belong to the i-th of `ranks` virtual ranks.
template <class T>
View<T> rows_of_rank(View<T> all, std::int64_t ranks, std::int64_t i) {
  return all.row_range(i * (all.rows / ranks), all.rows / ranks);
}

}  // namespace switchyard
