// Which rows travel to the owners of their experts and back: a count exchange, then transfers of
// rows in each direction (moe/row_stream.hpp makes them, comm/row_transport.hpp carries them). It
// knows the dispatch plan, neither the router nor what experts compute.
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

// The rows of batches that follow one another.
struct BatchRows {
  std::int64_t first = 0, rows = 0;
};
BatchRows rows_of(std::span<const ExpertBatch> batches);

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

  // The token index of each gathered row, which keys expert dropout; token_index [h*N].
  Buffer<std::uint64_t> indices_to_experts(StepContext& context, const DispatchPlan& plan,
                                           std::span<const std::uint64_t> token_index) const;

  std::uint32_t layer() const { return layer_; }
  // Every owned (group, expert), including those without rows; or those of one chunk.
  std::span<const ExpertBatch> batches() const { return batches_; }
  std::span<const ExpertBatch> batches(std::int64_t chunk) const;

  std::int64_t chunks() const { return std::ssize(there_); }  // at least 1
  // The rows of one chunk, on their way to the experts and back.
  const RowCounts& there(std::int64_t chunk) const { return there_[chunk]; }
  const RowCounts& back(std::int64_t chunk) const { return back_[chunk]; }
  std::int64_t kept_rows() const;   // that this process sends
  std::int64_t owned_rows() const;  // that it computes
  // The position in the receive buffer of each row of the gathered matrix. That holds the owner's
  // (group, expert) batches one after the other, each in canonical order; the receive buffer has
  // the rows as their sources sent them.
  std::span<const std::int64_t> arrival() const { return gather_; }
  bool in_order() const { return in_order_; }  // rows arrive in gathered order

 private:
  struct Cursor;

  void lay_out_batches(const Layout& layout, Rank self, Buffer<Cursor> sources);

  std::uint32_t layer_ = 0;
  Buffer<RowCounts> there_, back_;  // [chunks]
  Buffer<std::int64_t> gather_;
  bool in_order_ = true;
  Buffer<ExpertBatch> batches_;
};

// y [rows.size(), D] with y[i] = x[rows[i]].
template <class T>
Tensor<T> gather_rows(View<const T> x, std::span<const std::int64_t> rows);

}  // namespace switchyard
