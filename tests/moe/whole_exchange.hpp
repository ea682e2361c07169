// All rows of an exchange, to the experts or back, where a test does not care about chunks.
#pragma once

#include <algorithm>
#include <utility>

#include "moe/row_stream.hpp"

namespace switchyard {

// packed [kept rows, D] -> gathered [owned rows, D]. Collective over the group.
template <class T>
Tensor<T> to_experts(StepContext& context, const RowExchange& exchange, Tensor<T> packed,
                     Pass pass = Pass::forward) {
  ArrivingRows<T> arriving(context, exchange, std::move(packed), pass);
  for (std::int64_t chunk = 0; chunk < exchange.chunks(); ++chunk) arriving.receive();
  return arriving.take();
}

// gathered [owned rows, D] -> packed [kept rows, D]. Collective over the group.
template <class T>
Tensor<T> from_experts(StepContext& context, const RowExchange& exchange, const Tensor<T>& gathered,
                       Pass pass = Pass::forward) {
  LeavingRows<T> leaving(context, exchange, pass);
  for (std::int64_t chunk = 0; chunk < exchange.chunks(); ++chunk) {
    const BatchRows range = rows_of(exchange.batches(chunk));
    auto part = Tensor<T>::uninitialized(range.rows, gathered.cols());
    std::copy_n(gathered.data() + range.first * gathered.cols(), part.size(), part.data());
    leaving.send(std::move(part));
  }
  return leaving.finish();
}

}  // namespace switchyard
