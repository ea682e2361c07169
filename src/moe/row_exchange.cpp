// The count exchange and the row transfers. Rows arrive grouped by source process; `gather_` maps
// them to the (group, expert) batches.
#include "moe/row_exchange.hpp"

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

// rows [sum of counts.send, D], packed in the order of the peers -> the received rows [sum of
// counts.recv, D]. One collective, recorded as `transfer` with the bytes that leave this process.
template <class T>
Tensor<T> transfer_rows(StepContext& context, const Tensor<T>& rows, const RowCounts& counts,
                        Transfer transfer) {
  auto received = Tensor<T>::uninitialized(total(counts.recv), rows.cols());
  const Rank self = context.comm.rank(), first = context.transport.peers().first;
  const std::int64_t leaving = total(counts.send) - counts.send[self.value - first.value];
  transfer.bytes = leaving * rows.cols() * static_cast<std::int64_t>(sizeof(T));
  const ScopedTransfer record(context.timer, transfer);
  context.transport.transfer<T>(counts, rows.flat(), received.flat(), rows.cols());
  return received;
}

// y[rows[i]] = x[i]: the inverse of gather_rows if `rows` is a permutation.
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

// Sends each owner the number of rows it will receive from this process, followed by the number in
// each segment. Collective.
RowTransport::Announced announce(StepContext& context, const DispatchPlan& plan,
                                 std::uint32_t layer) {
  const Layout& layout = context.layout;
  const auto size = [&](Rank from, Rank to) { return 1 + segment_count(layout, from, to); };
  Buffer<std::int64_t> messages;
  auto segment = plan.segment_rows.begin();
  auto rows = plan.send_rows.begin();
  for (const Rank p : context.transport.peers()) {
    messages.push_back(*rows++);
    const auto end = segment + segment_count(layout, context.comm.rank(), p);
    messages.insert(messages.end(), segment, end);
    segment = end;
  }
  const ScopedTransfer transfer(context.timer, {.layer = layer});
  return context.transport.announce(messages, size);
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

}  // namespace

// A position in what one source sends to this owner: its next segment and its next row.
struct RowExchange::Cursor {
  std::span<const std::int64_t> segments;
  std::int64_t row = 0;

  std::int64_t take(std::int64_t count) {
    const std::int64_t rows = total(segments.first(count));
    segments = segments.subspan(count);
    return rows;
  }
};

// Lays out this owner's (group, expert) batches; each source sends its rows in the same order.
void RowExchange::lay_out_batches(const Layout& layout, Rank self, Buffer<Cursor> sources) {
  gather_.reserve(total(there_.recv));
  for (const GroupId g : layout.groups_of(self)) {
    for (const ExpertId e : layout.owned_experts(self)) {
      ExpertBatch batch{e, g, std::ssize(gather_), 0};
      const Interval<Rank> peers = layout.peers(self);
      for (const Rank p : peers) {
        Cursor& source = sources[p.value - peers.first.value];
        const std::int64_t rows = source.take(hosted_in_group(layout, p, g).size());
        for (std::int64_t r = 0; r < rows; ++r) {
          in_order_ &= source.row == std::ssize(gather_);
          gather_.push_back(source.row++);
        }
      }
      batch.rows = std::ssize(gather_) - batch.first;
      batches_.push_back(batch);
    }
  }
}

RowExchange::RowExchange(StepContext& context, const DispatchPlan& plan, std::uint32_t layer)
    : layer_(layer) {
  const Rank self = context.comm.rank();
  RowTransport::Announced announced = announce(context, plan, layer);
  const ScopedPhase phase(context.timer, Phase::routing);
  Buffer<Cursor> sources;
  std::span<const std::int64_t> unread = announced.messages;
  std::int64_t row = 0;
  for (const Rank p : context.transport.peers()) {
    const std::int64_t rows = unread[0], segments = segment_count(context.layout, p, self);
    check_conservation(p, self, rows, total(unread.subspan(1, segments)));
    sources.push_back({unread.subspan(1, segments), row});
    unread = unread.subspan(1 + segments);
    row += rows;
  }
  there_ = std::move(announced.rows);
  back_ = there_.reversed();
  lay_out_batches(context.layout, self, std::move(sources));
}

template <class T>
Tensor<T> RowExchange::to_experts(StepContext& context, Tensor<T> packed, Pass pass) const {
  // With a single source, send order is the canonical order.
  if (context.transport.peers().size() == 1) return packed;
  Tensor<T> received =
      transfer_rows(context, packed, there_, {layer_, Transfer::Direction::to_experts, pass});
  const ScopedPhase phase(context.timer, Phase::routing);
  return in_order_ ? std::move(received) : gather_rows<T>(received.view(), gather_);
}

template <class T>
Tensor<T> RowExchange::from_experts(StepContext& context, Tensor<T> gathered, Pass pass) const {
  if (context.transport.peers().size() == 1) return gathered;
  const Tensor<T> sent = [&] {
    const ScopedPhase phase(context.timer, Phase::routing);
    return in_order_ ? std::move(gathered) : scatter_rows(gathered, gather_);
  }();
  return transfer_rows(context, sent, back_, {layer_, Transfer::Direction::from_experts, pass});
}

Buffer<std::uint64_t> RowExchange::indices_to_experts(
    StepContext& context, const DispatchPlan& plan,
    std::span<const std::uint64_t> token_index) const {
  Buffer<std::int64_t> packed, received(total(there_.recv));
  packed.reserve(plan.rows.size());
  for (const std::int64_t row : plan.rows)
    packed.push_back(static_cast<std::int64_t>(token_index[row]));
  {
    const ScopedTransfer transfer(context.timer, {.layer = layer_});
    context.transport.transfer<std::int64_t>(there_, packed, received, 1);
  }
  const ScopedPhase phase(context.timer, Phase::routing);
  Buffer<std::uint64_t> gathered;
  gathered.reserve(received.size());
  for (const std::int64_t position : gather_)
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

#define SWITCHYARD_INSTANTIATE(T)                                                    \
  template Tensor<T> RowExchange::to_experts(StepContext&, Tensor<T>, Pass) const;   \
  template Tensor<T> RowExchange::from_experts(StepContext&, Tensor<T>, Pass) const; \
  template Tensor<T> gather_rows(View<const T>, std::span<const std::int64_t>);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
