// Moves kept rows to the owners of their experts and results back: a count exchange, then one
// MPI_Alltoallv of rows each way. Rows have the precision that travels (T: float or bfloat16), also
// where they stay in the process. Knows the plan, not the router nor what experts compute.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "moe/dispatch_plan.hpp"
#include "moe/step_context.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// The rows an owner computes for one (group, expert), in canonical (virtual rank, token) order.
struct ExpertBatch {
  ExpertId expert;
  GroupId group;
  std::int64_t first = 0, rows = 0;  // in the gathered matrix
};

// One exchange's arithmetic; made by `exchange_counts`, used for every transfer of that layer and
// step.
struct Exchange {
  std::uint32_t layer = 0;  // of the sparse layer, for the record of its transfers
  Buffer<std::int64_t> send_rows, recv_rows;  // [R]
  // gather[i]: position in the receive buffer of row i of the gathered matrix, which holds the
  // owner's (group, expert) batches one after the other, each in canonical order.
  Buffer<std::int64_t> gather;
  bool in_order = true;         // gather[i] = i throughout: rows arrive as they are wanted
  Buffer<ExpertBatch> batches;  // every owned (group, expert), empty ones too
};

// Tells each owner how many rows it will get for each of its segments. Throws
// Error(silent_corruption) naming both ranks when the rows one sends are not the rows the other
// receives. Collective over context.comm.
Exchange exchange_counts(StepContext& context, const DispatchPlan& plan, std::uint32_t layer = 0);

// packed [kept rows, D] in the plan's send order -> gathered [owned rows, D]. Collective.
template <class T>
Tensor<T> dispatch(StepContext& context, const Exchange& exchange, Tensor<T> packed,
                   Pass pass = Pass::forward);
// gathered [owned rows, D] -> packed [kept rows, D] in send order, at the source. Collective.
template <class T>
Tensor<T> return_rows(StepContext& context, const Exchange& exchange, Tensor<T> gathered,
                      Pass pass = Pass::forward);

// The token index of each gathered row, keying expert dropout; token_index [h*N]. Collective.
Buffer<std::uint64_t> dispatch_indices(StepContext& context, const DispatchPlan& plan,
                                       const Exchange& exchange,
                                       std::span<const std::uint64_t> token_index);

// y [rows.size(), D] with y[i] = x[rows[i]].
template <class T>
Tensor<T> gather_rows(View<const T> x, std::span<const std::int64_t> rows);

}  // namespace switchyard
