// Lookup of table rows by token id, and accumulation of gradients into them.
#include <omp.h>

#include <algorithm>

#include "tensor/ops.hpp"
#include "tensor/rows.hpp"

namespace switchyard {

void embedding_forward(View<const float> table, std::span<const std::int32_t> ids, View<float> y) {
  for_each_shared(y.rows, y.size(), [&](std::int64_t i) {
    const std::int32_t id = ids[static_cast<std::size_t>(i)];
    if (id < 0) {
      std::fill_n(y.row(i), y.cols, 0.0f);
    } else {
      std::copy_n(table.row(id), y.cols, y.row(i));
    }
  });
}

void embedding_backward(View<const float> dy, std::span<const std::int32_t> ids,
                        View<float> d_table) {
#pragma omp parallel if (!omp_in_parallel())  // throws nothing
  {
    // Each thread owns the table rows whose id has one residue modulo the number of threads.
    // Frequent ids are adjacent, so this balances the load.
    const int threads = omp_get_num_threads(), mine = omp_get_thread_num();
    for (std::int64_t i = 0; i < dy.rows; ++i) {
      const std::int32_t id = ids[static_cast<std::size_t>(i)];
      if (id < 0 || id % threads != mine) continue;
      const float* __restrict from = dy.row(i);
      float* __restrict to = d_table.row(id);
#pragma omp simd
      for (std::int64_t j = 0; j < dy.cols; ++j) to[j] += from[j];
    }
  }
}

}  // namespace switchyard
