// The count exchange. Rows arrive grouped by source process; `gather_` maps them to the (group,
// expert) batches.
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

// Sends each owner the number of rows of each chunk that it will receive from this process,
// followed by the number in each segment. Collective.
RowTransport::Announced announce(StepContext& context, const DispatchPlan& plan,
                                 std::uint32_t layer) {
  const Layout& layout = context.layout;
  const std::int64_t chunks = context.transport.chunks();
  const auto size = [&](Rank from, Rank to) { return chunks + segment_count(layout, from, to); };
  Buffer<std::int64_t> messages;
  auto segment = plan.segment_rows.begin();
  auto rows = plan.send_rows.begin();
  for (const Rank p : context.transport.peers()) {
    messages.insert(messages.end(), rows, rows + chunks);
    rows += chunks;
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

BatchRows rows_of(std::span<const ExpertBatch> batches) {
  if (batches.empty()) return {};
  const ExpertBatch& last = batches.back();
  return {batches.front().first, last.first + last.rows - batches.front().first};
}

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
  gather_.reserve(owned_rows());
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
  const std::int64_t chunks = context.transport.chunks();
  for (const Rank p : context.transport.peers()) {
    const std::span<const std::int64_t> heads = unread.first(chunks);
    const std::int64_t segments = segment_count(context.layout, p, self);
    unread = unread.subspan(chunks);
    sources.push_back({unread.first(segments), row});
    for (std::int64_t c = 0; c < chunks; ++c) {
      const std::int64_t of_chunk = segment_count(context.layout, p, self, c, chunks);
      check_conservation(p, self, heads[c], total(unread.first(of_chunk)));
      unread = unread.subspan(of_chunk);
    }
    row += total(heads);
  }
  there_ = std::move(announced.rows);
  for (const RowCounts& rows : there_) back_.push_back(rows.reversed());
  lay_out_batches(context.layout, self, std::move(sources));
}

std::span<const ExpertBatch> RowExchange::batches(std::int64_t chunk) const {
  // With several chunks, each owned expert has one batch (moe/dispatch_plan.hpp).
  const auto border = [&](std::int64_t i) { return i * std::ssize(batches_) / chunks(); };
  return std::span(batches_).subspan(border(chunk), border(chunk + 1) - border(chunk));
}

std::int64_t RowExchange::kept_rows() const {
  std::int64_t rows = 0;
  for (const RowCounts& chunk : there_) rows += total(chunk.send);
  return rows;
}

std::int64_t RowExchange::owned_rows() const {
  std::int64_t rows = 0;
  for (const RowCounts& chunk : there_) rows += total(chunk.recv);
  return rows;
}

Buffer<std::uint64_t> RowExchange::indices_to_experts(
    StepContext& context, const DispatchPlan& plan,
    std::span<const std::uint64_t> token_index) const {
  Buffer<std::int64_t> packed, received(owned_rows());
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

template Tensor<float> gather_rows(View<const float>, std::span<const std::int64_t>);
template Tensor<bfloat16> gather_rows(View<const bfloat16>, std::span<const std::int64_t>);

}  // namespace switchyard
