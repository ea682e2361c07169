// The count exchange and the transfers. Rows arrive by source process; `gather` says where each
// batch's rows lie.
#include "moe/dispatcher.hpp"

#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

std::int64_t total(std::span<const std::int64_t> rows) {
  return std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
}

// rows [sum of `to`, D], so many to each process -> those received, [sum of `from`, D]. One
// collective, recorded as `transfer` with the bytes that leave this process.
template <class T>
Tensor<T> transfer_rows(StepContext& context, const Tensor<T>& rows,
                        std::span<const std::int64_t> to, std::span<const std::int64_t> from,
                        Transfer transfer) {
  auto received = Tensor<T>::uninitialized(total(from), rows.cols());
  const std::int64_t leaving = total(to) - to[context.comm.rank().value];
  transfer.bytes = leaving * rows.cols() * static_cast<std::int64_t>(sizeof(T));
  const ScopedTransfer record(context.timer, transfer);
  all_to_all_rows<T>(context.comm, rows.flat(), to, received.flat(), from, rows.cols());
  return received;
}

// y[rows[i]] = x[i]: the inverse of gather_rows where `rows` is a permutation.
template <class T>
Tensor<T> scatter_rows(const Tensor<T>& x, std::span<const std::int64_t> rows) {
  auto y = Tensor<T>::uninitialized(x.rows(), x.cols());
  const auto from = x.view();
  const auto to = y.view();
  for_each_shared(from.rows, from.size(), [&](std::int64_t i) {
    std::memcpy(to.row(rows[i]), from.row(i), from.cols * sizeof(T));
  });
  return y;
}

// What each process tells each owner: the number of rows it sends it, then the rows of each
// segment. Returned source by source, as received.
Buffer<std::int64_t> exchange_messages(StepContext& context, const DispatchPlan& plan,
                                       std::uint32_t layer) {
  const Layout& layout = context.layout;
  const Rank self = context.comm.rank();
  Buffer<std::int64_t> sent, send_sizes, recv_sizes;
  auto segment = plan.segment_rows.begin();
  for (Rank p{0}; p.value < layout.processes(); ++p) {
    const std::int64_t segments = segment_count(layout, self, p);
    sent.push_back(plan.send_rows[p.value]);
    sent.insert(sent.end(), segment, segment + segments);
    segment += segments;
    send_sizes.push_back(1 + segments);
    recv_sizes.push_back(1 + segment_count(layout, p, self));
  }
  Buffer<std::int64_t> received(total(recv_sizes));
  const ScopedTransfer transfer(context.timer, {.layer = layer});
  all_to_all_rows<std::int64_t>(context.comm, sent, send_sizes, received, recv_sizes, 1);
  return received;
}

void check_conservation(Rank source, Rank owner, std::int64_t sent, std::int64_t received) {
  if (sent == received) return;
  throw Error(
      ExitCode::silent_corruption,
      "process " + std::to_string(source.value) + " sends " + std::to_string(sent) +
          " rows to process " + std::to_string(owner.value) + ", whose experts expect " +
          std::to_string(received),
      "check the memory and the network of both hosts, then resume from the last checkpoint");
}

// One source's share of what an owner receives: where its next segment and its next row are.
struct Cursor {
  std::span<const std::int64_t> segments;
  std::int64_t row = 0;

  std::int64_t take(std::int64_t count) {
    const std::int64_t rows = total(segments.first(count));
    segments = segments.subspan(count);
    return rows;
  }
};

// Walks the owner's (group, expert) batches; within each source the rows come in the same order.
void lay_out_batches(const Layout& layout, Rank self, Buffer<Cursor> sources, Exchange& exchange) {
  exchange.gather.reserve(total(exchange.recv_rows));
  for (const GroupId g : layout.groups_of(self)) {
    for (const ExpertId e : layout.owned_experts(self)) {
      ExpertBatch batch{e, g, std::ssize(exchange.gather), 0};
      for (Rank p{0}; p.value < layout.processes(); ++p) {
        Cursor& source = sources[p.value];
        const std::int64_t rows = source.take(hosted_in_group(layout, p, g).size());
        for (std::int64_t r = 0; r < rows; ++r) {
          exchange.in_order &= source.row == std::ssize(exchange.gather);
          exchange.gather.push_back(source.row++);
        }
      }
      batch.rows = std::ssize(exchange.gather) - batch.first;
      exchange.batches.push_back(batch);
    }
  }
}

}  // namespace

Exchange exchange_counts(StepContext& context, const DispatchPlan& plan, std::uint32_t layer) {
  const Rank self = context.comm.rank();
  const Buffer<std::int64_t> messages = exchange_messages(context, plan, layer);
  const ScopedPhase phase(context.timer, Phase::routing);
  Exchange exchange;
  exchange.layer = layer;
  exchange.send_rows = plan.send_rows;
  Buffer<Cursor> sources;
  std::span<const std::int64_t> unread = messages;
  std::int64_t row = 0;
  for (Rank p{0}; p.value < context.layout.processes(); ++p) {
    const std::int64_t rows = unread[0], segments = segment_count(context.layout, p, self);
    check_conservation(p, self, rows, total(unread.subspan(1, segments)));
    exchange.recv_rows.push_back(rows);
    sources.push_back({unread.subspan(1, segments), row});
    unread = unread.subspan(1 + segments);
    row += rows;
  }
  lay_out_batches(context.layout, self, std::move(sources), exchange);
  return exchange;
}

template <class T>
Tensor<T> dispatch(StepContext& context, const Exchange& exchange, Tensor<T> packed, Pass pass) {
  if (context.comm.size() == 1) return packed;  // one source's send order is the canonical order
  Tensor<T> received = transfer_rows(context, packed, exchange.send_rows, exchange.recv_rows,
                                     {exchange.layer, Transfer::Direction::to_experts, pass});
  const ScopedPhase phase(context.timer, Phase::routing);
  return exchange.in_order ? std::move(received) : gather_rows<T>(received.view(), exchange.gather);
}

template <class T>
Tensor<T> return_rows(StepContext& context, const Exchange& exchange, Tensor<T> gathered,
                      Pass pass) {
  if (context.comm.size() == 1) return gathered;
  const Tensor<T> sent = [&] {
    const ScopedPhase phase(context.timer, Phase::routing);
    return exchange.in_order ? std::move(gathered) : scatter_rows(gathered, exchange.gather);
  }();
  return transfer_rows(context, sent, exchange.recv_rows, exchange.send_rows,
                       {exchange.layer, Transfer::Direction::from_experts, pass});
}

Buffer<std::uint64_t> dispatch_indices(StepContext& context, const DispatchPlan& plan,
                                       const Exchange& exchange,
                                       std::span<const std::uint64_t> token_index) {
  Buffer<std::int64_t> packed, received(total(exchange.recv_rows));
  packed.reserve(plan.rows.size());
  for (const std::int64_t row : plan.rows)
    packed.push_back(static_cast<std::int64_t>(token_index[row]));
  {
    const ScopedTransfer transfer(context.timer, {.layer = exchange.layer});
    all_to_all_rows<std::int64_t>(context.comm, packed, exchange.send_rows, received,
                                  exchange.recv_rows, 1);
  }
  const ScopedPhase phase(context.timer, Phase::routing);
  Buffer<std::uint64_t> gathered;
  gathered.reserve(received.size());
  for (const std::int64_t position : exchange.gather)
    gathered.push_back(static_cast<std::uint64_t>(received[position]));
  return gathered;
}

template <class T>
Tensor<T> gather_rows(View<const T> x, std::span<const std::int64_t> rows) {
  auto y = Tensor<T>::uninitialized(std::ssize(rows), x.cols);
  const View<T> to = y.view();
  for_each_shared(to.rows, to.size(), [&](std::int64_t i) {
    std::memcpy(to.row(i), x.row(rows[i]), x.cols * sizeof(T));
  });
  return y;
}

#define SWITCHYARD_INSTANTIATE(T)                                                 \
  template Tensor<T> dispatch(StepContext&, const Exchange&, Tensor<T>, Pass);    \
  template Tensor<T> return_rows(StepContext&, const Exchange&, Tensor<T>, Pass); \
  template Tensor<T> gather_rows(View<const T>, std::span<const std::int64_t>);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
