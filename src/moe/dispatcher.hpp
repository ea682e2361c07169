// Moves kept rows to the owners of their experts and results back: a count exchange, then one
// MPI_Alltoallv of rows each way. Knows the plan, not the router nor what experts compute.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "moe/dispatch_plan.hpp"
#include "moe/step_context.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// The rows an owner computes for one (expert, group), in canonical (virtual rank, token) order.
struct ExpertBatch {
  ExpertId expert;
  GroupId group;
  std::int64_t first = 0, rows = 0;  // in the gathered matrix
};

// One exchange's arithmetic; made by `exchange_counts`, used for every transfer of that layer and step.
struct Exchange {
  std::vector<std::int64_t> send_rows, recv_rows;  // [R]
  // gather[i]: position in the receive buffer of row i of the gathered matrix, which holds the owner's
  // experts one after the other, each in canonical order.
  std::vector<std::int64_t> gather;
  std::vector<ExpertBatch> batches;  // every owned (group, expert), empty ones too
};

// Collective over context.comm. Throws Error(silent_corruption) naming the ranks when the rows sent
// over all processes are not the rows received.
Exchange exchange_counts(StepContext& context, const DispatchPlan& plan);

// rows of `source` [h*N, D] named by the plan -> gathered [owned rows, D]. Collective.
Tensor<float> dispatch(StepContext& context, const DispatchPlan& plan, const Exchange& exchange, View<const float> source);
// The token index of each gathered row, keying expert dropout. Collective.
std::vector<std::uint64_t> dispatch_indices(StepContext& context, const DispatchPlan& plan, const Exchange& exchange,
                                            std::span<const std::uint64_t> token_index);
// gathered [owned rows, D] -> packed [kept rows, D] in the plan's send order at the source. Collective.
Tensor<float> return_rows(StepContext& context, const Exchange& exchange, View<const float> gathered);

}  // namespace switchyard
