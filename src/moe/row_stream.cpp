#include "moe/row_stream.hpp"

#include <cstring>
#include <numeric>
#include <utility>

#include "base/timer.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

bool moves_rows(const StepContext& context) { return context.transport.peers().size() > 1; }

// The bytes of rows that leave this process.
template <class T>
std::int64_t leaving_bytes(const StepContext& context, const RowCounts& rows, std::int64_t width) {
  const std::int64_t self = context.comm.rank().value - context.transport.peers().first.value;
  const std::int64_t all = std::accumulate(rows.send.begin(), rows.send.end(), std::int64_t{0});
  return (all - rows.send[self]) * width * static_cast<std::int64_t>(sizeof(T));
}

}  // namespace

template <class T>
ArrivingRows<T>::ArrivingRows(StepContext& context, const RowExchange& exchange, Tensor<T> packed,
                              Pass pass)
    : context_(context),
      exchange_(exchange),
      record_{exchange.layer(), Transfer::Direction::to_experts, pass},
      moves_(moves_rows(context)) {
  if (!moves_) {
    received_ = std::move(packed);  // with a single source, send order is the canonical order
    return;
  }
  packed_ = std::move(packed);
  received_ = Tensor<T>::uninitialized(exchange.owned_rows(), packed_.cols());
  start(0);
}

template <class T>
void ArrivingRows<T>::start(std::int64_t chunk) {
  const ScopedSeconds seconds(record_.seconds);
  const RowCounts& rows = exchange_.there(chunk);
  record_.bytes += leaving_bytes<T>(context_, rows, packed_.cols());
  transfer_ =
      context_.transport.template start<T>(rows, packed_.flat(), received_.flat(), packed_.cols());
}

template <class T>
void ArrivingRows<T>::receive() {
  const std::int64_t chunk = next_++;
  if (!moves_) return;
  {
    const ScopedSeconds seconds(record_.seconds);
    transfer_.finish();
  }
  if (next_ < exchange_.chunks()) {
    start(next_);
  } else {
    context_.timer.add(record_);
    packed_ = {};
  }
  if (exchange_.in_order()) return;
  const ScopedPhase phase(context_.timer, Phase::routing);
  if (chunk == 0) gathered_ = Tensor<T>::uninitialized(received_.rows(), received_.cols());
  const BatchRows range = rows_of(exchange_.batches(chunk));
  for_each_shared(range.rows, range.rows * received_.cols(), [&](std::int64_t i) {
    const std::int64_t row = range.first + i;
    std::memcpy(gathered_.view().row(row), received_.view().row(exchange_.arrival()[row]),
                received_.cols() * sizeof(T));
  });
  if (next_ == exchange_.chunks()) received_ = {};
}

template <class T>
Tensor<T> ArrivingRows<T>::take() {
  return std::move(moves_ && !exchange_.in_order() ? gathered_ : received_);
}

template <class T>
LeavingRows<T>::LeavingRows(StepContext& context, const RowExchange& exchange, Pass pass)
    : context_(context),
      exchange_(exchange),
      record_{exchange.layer(), Transfer::Direction::from_experts, pass},
      moves_(moves_rows(context)) {}

// Puts a chunk's rows where the transfer takes them from.
template <class T>
void LeavingRows<T>::place(Tensor<T> rows) {
  const ScopedPhase phase(context_.timer, Phase::routing);
  if (exchange_.in_order() && exchange_.chunks() == 1) {
    sent_ = std::move(rows);
    return;
  }
  if (next_ == 0) sent_ = Tensor<T>::uninitialized(exchange_.owned_rows(), rows.cols());
  const std::int64_t first = rows_of(exchange_.batches(next_)).first;
  for_each_shared(rows.rows(), rows.size(), [&](std::int64_t i) {
    std::memcpy(sent_.view().row(exchange_.arrival()[first + i]), rows.view().row(i),
                rows.cols() * sizeof(T));
  });
}

template <class T>
void LeavingRows<T>::send(Tensor<T> rows) {
  if (!moves_) {
    packed_ = std::move(rows);
    return;
  }
  const std::int64_t width = rows.cols();
  place(std::move(rows));
  const ScopedSeconds seconds(record_.seconds);
  if (next_ == 0) packed_ = Tensor<T>::uninitialized(exchange_.kept_rows(), width);
  const RowCounts& counts = exchange_.back(next_++);
  record_.bytes += leaving_bytes<T>(context_, counts, width);
  transfers_.push_back(
      context_.transport.template start<T>(counts, sent_.flat(), packed_.flat(), width));
}

template <class T>
void LeavingRows<T>::advance() {
  for (RowTransfer<T>& transfer : transfers_) transfer.advance();
}

template <class T>
Tensor<T> LeavingRows<T>::finish() {
  if (moves_) {
    {
      const ScopedSeconds seconds(record_.seconds);
      for (RowTransfer<T>& transfer : transfers_) transfer.finish();
    }
    context_.timer.add(record_);
  }
  return std::move(packed_);
}

template class ArrivingRows<float>;
template class ArrivingRows<bfloat16>;
template class LeavingRows<float>;
template class LeavingRows<bfloat16>;

}  // namespace switchyard
