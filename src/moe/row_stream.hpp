// Rows of a sparse layer on their way to their experts and back, chunk by chunk, so that the rows
// of one chunk can travel while the experts of another are computed. Rows have the transfer
// precision (T: float or bfloat16) even where they stay in the process. It knows which rows are
// exchanged, neither the router nor what experts compute.
//
// Every process calls the collective functions below in the same order, once per chunk, also for
// chunks without rows. Where a process exchanges rows with itself alone, nothing is moved.
#pragma once

#include <cstdint>

#include "base/buffer.hpp"
#include "comm/row_transport.hpp"
#include "moe/row_exchange.hpp"
#include "step/step_context.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// From the tokens' processes to the experts'.
template <class T>
class ArrivingRows {
 public:
  // packed [kept rows, D] in the plan's send order. Starts the first chunk. Collective over the
  // group. The exchange must outlive it.
  ArrivingRows(StepContext& context, const RowExchange& exchange, Tensor<T> packed, Pass pass);
  ArrivingRows(const ArrivingRows&) = delete;
  ArrivingRows& operator=(const ArrivingRows&) = delete;

  // Waits for the next chunk, then starts the one after it. Collective over the group.
  void receive();
  void advance() { transfer_.advance(); }  // lets MPI move messages on
  // [owned rows, D] in gathered order; only the rows of the chunks received so far are set.
  View<const T> rows() const {
    return (moves_ && !exchange_.in_order() ? gathered_ : received_).view();
  }
  Tensor<T> take();  // the same, once all chunks are here

 private:
  void start(std::int64_t chunk);

  StepContext& context_;
  const RowExchange& exchange_;
  Tensor<T> packed_, received_, gathered_;
  RowTransfer<T> transfer_;
  Transfer record_;
  std::int64_t next_ = 0;  // chunk
  bool moves_;
};

// From the experts' processes back to the tokens'.
template <class T>
class LeavingRows {
 public:
  LeavingRows(StepContext& context, const RowExchange& exchange, Pass pass);
  LeavingRows(const LeavingRows&) = delete;
  LeavingRows& operator=(const LeavingRows&) = delete;

  // rows [rows of the next chunk, D] in gathered order. Collective over the group.
  void send(Tensor<T> rows);
  void advance();
  // Waits for all chunks: packed [kept rows, D] in send order, at the source. Collective over the
  // group.
  Tensor<T> finish();

 private:
  void place(Tensor<T> rows);

  StepContext& context_;
  const RowExchange& exchange_;
  Tensor<T> sent_, packed_;
  Buffer<RowTransfer<T>> transfers_;
  Transfer record_;
  std::int64_t next_ = 0;  // chunk
  bool moves_;
};

}  // namespace switchyard
