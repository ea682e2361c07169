// Sends kept rows to the owners of their experts and the results back: a count exchange, then one
// transfer of rows in each direction (comm/row_transport.hpp). Rows have the transfer precision (T:
// float or bfloat16) even where they stay in the process. It knows the dispatch plan, neither the
// router nor what experts compute.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "moe/dispatch_plan.hpp"
#include "step/step_context.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// The rows that an owner computes for one (group, expert), in canonical (virtual rank, token)
// order.
struct ExpertBatch {
  ExpertId expert;
  GroupId group;
  std::int64_t first = 0, rows = 0;  // rows of the gathered matrix
};

// The exchange of one layer in one step, made from the dispatch plan and used for all transfers of
// that layer and step.
class RowExchange {
 public:
  RowExchange() = default;
  // Tells each owner how many rows it will receive for each of its segments. `layer`: number of the
  // sparse layer, for the record of its transfers. Throws Error(silent_corruption) with both ranks
  // if the number of rows that one sends is not the number that the other expects. Collective over
  // the group, like all functions that transfer rows.
  RowExchange(StepContext& context, const DispatchPlan& plan, std::uint32_t layer = 0);

  // packed [kept rows, D] in the plan's send order -> gathered [owned rows, D].
  template <class T>
  Tensor<T> to_experts(StepContext& context, Tensor<T> packed, Pass pass = Pass::forward) const;
  // gathered [owned rows, D] -> packed [kept rows, D] in send order, at the source.
  template <class T>
  Tensor<T> from_experts(StepContext& context, Tensor<T> gathered, Pass pass = Pass::forward) const;
  // The token index of each gathered row, which keys expert dropout; token_index [h*N].
  Buffer<std::uint64_t> indices_to_experts(StepContext& context, const DispatchPlan& plan,
                                           std::span<const std::uint64_t> token_index) const;

  // Every owned (group, expert), including those without rows.
  std::span<const ExpertBatch> batches() const { return batches_; }
  std::span<const std::int64_t> received_rows() const { return there_.recv; }  // [peers]

 private:
  struct Cursor;

  void lay_out_batches(const Layout& layout, Rank self, Buffer<Cursor> sources);

  std::uint32_t layer_ = 0;
  RowCounts there_, back_;  // to the experts and back
  // gather_[i]: position in the receive buffer of row i of the gathered matrix. The gathered matrix
  // holds the owner's (group, expert) batches one after the other, each in canonical order.
  Buffer<std::int64_t> gather_;
  bool in_order_ = true;  // gather_[i] = i for all i: rows arrive in gathered order
  Buffer<ExpertBatch> batches_;
};

// y [rows.size(), D] with y[i] = x[rows[i]].
template <class T>
Tensor<T> gather_rows(View<const T> x, std::span<const std::int64_t> rows);

}  // namespace switchyard
