#include "comm/row_transport.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

#include "comm/job.hpp"
#include "comm/request.hpp"

namespace switchyard {
namespace {

constexpr int relay_tag = 1;

std::int64_t total(std::span<const std::int64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

// Takes a packed buffer apart, from its beginning.
template <class T>
class Unpacker {
 public:
  Unpacker(std::span<const T> data, std::int64_t width) : rest_(data), width_(width) {}

  std::span<const T> take(std::int64_t rows) {
    const auto count = static_cast<std::size_t>(rows * width_);
    const std::span<const T> part = rest_.first(count);
    rest_ = rest_.subspan(count);
    return part;
  }

 private:
  std::span<const T> rest_;
  std::int64_t width_;
};

template <class T>
void append(Buffer<T>& to, std::span<const T> part) {
  to.insert(to.end(), part.begin(), part.end());
}

// counts [rows, columns] -> [columns, rows]
Buffer<std::int64_t> transposed(const Buffer<std::int64_t>& counts, std::int64_t columns) {
  const std::int64_t rows = columns == 0 ? 0 : std::ssize(counts) / columns;
  Buffer<std::int64_t> result;
  result.reserve(counts.size());
  for (std::int64_t c = 0; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r)
      result.push_back(counts[static_cast<std::size_t>(r * columns + c)]);
  return result;
}

// offsets[i] = counts[0] + … + counts[i-1]
Buffer<std::int64_t> offsets(std::span<const std::int64_t> counts) {
  Buffer<std::int64_t> result(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), result.begin(), std::int64_t{0});
  return result;
}

std::span<const std::int64_t> row_of(const Buffer<std::int64_t>& counts, std::int64_t row,
                                     std::int64_t columns) {
  return std::span(counts).subspan(static_cast<std::size_t>(row * columns),
                                   static_cast<std::size_t>(columns));
}

// From messages packed in the order of the peers: how many rows of each chunk go to, or come from,
// each peer, and where they begin. A peer's chunks follow one another.
void read_counts(std::span<const std::int64_t> messages, std::span<const std::int64_t> sizes,
                 std::span<RowCounts> chunks, Buffer<std::int64_t> RowCounts::*counts,
                 Buffer<std::int64_t> RowCounts::*firsts) {
  Unpacker<std::int64_t> unread(messages, 1);
  std::int64_t first = 0;
  for (const std::int64_t size : sizes) {
    const auto message = unread.take(size);
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      (chunks[c].*counts).push_back(message[c]);
      (chunks[c].*firsts).push_back(first);
      first += message[c];
    }
  }
}

}  // namespace

RowCounts RowCounts::reversed() const {
  RowCounts result{.send = recv,
                   .recv = send,
                   .send_first = recv_first,
                   .recv_first = send_first,
                   .out = {},
                   .in = {}};
  for (std::size_t i = 0; i < out.size(); ++i) {
    // Both have n x m entries; in is [m, n] and out is [n, m].
    const std::int64_t n = here, m = n == 0 ? 0 : std::ssize(out[i]) / n;
    result.out.push_back(transposed(in[i], n));
    result.in.push_back(transposed(out[i], m));
  }
  result.here = here;
  return result;
}

std::int64_t exchange_chunks(const Layout& layout, Rank p, std::int64_t asked) {
  const std::int64_t peers = layout.peers(p).size();
  if (peers == 1) return 1;
  // An owner has floor or ceil of E / peers experts.
  const std::int64_t most = (layout.experts() + peers - 1) / peers;
  return std::max<std::int64_t>(1, std::min(asked, most));
}

RowTransport::RowTransport(const Comm& comm, const Layout& layout, const Options& options)
    : world_(comm),
      peers_(layout.peers(comm.rank())),
      chunks_(exchange_chunks(layout, comm.rank(), options.chunks)) {
  if (peers_.size() < comm.size())
    group_.emplace(
        comm.split(static_cast<int>(peers_.first.value), static_cast<int>(comm.rank().value)));
  if (options.way == Way::two_level && peers_.size() > 1) {
    Hosts found = find_hosts(options.host ? *options.host : host_number(group()));
    if (found.peers.size() > 1) hosts_.emplace(std::move(found));
  }
}

RowTransport::Hosts RowTransport::find_hosts(std::int64_t host) const {
  const Buffer<std::int64_t> host_of_peer =
      all_gather(group(), std::span<const std::int64_t>(&host, 1));
  Hosts hosts{.here = group().split(
                  static_cast<int>(std::ranges::find(host_of_peer, host) - host_of_peer.begin()),
                  static_cast<int>(group().rank().value)),
              .between = group().duplicate(),
              .peers = {},
              .relayed = {}};
  Buffer<std::int64_t> names;  // of hosts, in the order of their first peer
  for (std::int64_t peer = 0; peer < std::ssize(host_of_peer); ++peer) {
    const std::int64_t name = host_of_peer[static_cast<std::size_t>(peer)];
    const auto known = static_cast<std::size_t>(std::ranges::find(names, name) - names.begin());
    if (known == names.size()) {
      names.push_back(name);
      hosts.peers.emplace_back();
    }
    if (name == host) hosts.own = static_cast<std::int64_t>(known);
    hosts.peers[known].push_back(peer);
  }
  for (std::int64_t h = 0; h < std::ssize(names); ++h)
    if (hosts.is_relayed_by(h, hosts.here.rank().value)) hosts.relayed.push_back(h);
  return hosts;
}

// To each process here: the rows for itself, then those for the hosts that it relays to.
template <class T>
Buffer<T> RowTransport::to_relays(const RowCounts& rows, std::span<const T> send,
                                  std::int64_t width) const {
  const Hosts& hosts = *hosts_;
  const auto rows_for = [&](std::int64_t peer) {
    const auto p = static_cast<std::size_t>(peer);
    return send.subspan(static_cast<std::size_t>(rows.send_first[p] * width),
                        static_cast<std::size_t>(rows.send[p] * width));
  };
  Buffer<T> packed;
  packed.reserve(static_cast<std::size_t>(total(rows.send) * width));
  Buffer<std::int64_t> sent, received;
  const Buffer<std::int64_t>& here = hosts.peers[static_cast<std::size_t>(hosts.own)];
  for (std::int64_t local = 0; local < std::ssize(here); ++local) {
    const std::int64_t before = std::ssize(packed);
    append(packed, rows_for(here[static_cast<std::size_t>(local)]));
    for (std::int64_t h = 0; h < std::ssize(hosts.peers); ++h) {
      if (!hosts.is_relayed_by(h, local)) continue;
      for (const std::int64_t peer : hosts.peers[static_cast<std::size_t>(h)])
        append(packed, rows_for(peer));
    }
    sent.push_back((std::ssize(packed) - before) / width);
    std::int64_t expected =
        rows.recv[static_cast<std::size_t>(here[static_cast<std::size_t>(local)])];
    for (std::size_t i = 0; i < hosts.relayed.size(); ++i)
      expected += total(row_of(rows.out[i], local, std::ssize(rows.out[i]) / std::ssize(here)));
    received.push_back(expected);
  }
  Buffer<T> held(static_cast<std::size_t>(total(received) * width));
  all_to_all_rows<T>(hosts.here, packed, sent, held, received, width);
  return held;
}

// held_: from each process here its rows for this one, then those to relay. arrived_ takes what
// comes from the other hosts' relays, host by host.
template <class T>
void RowTransport::start_between_relays(RowTransfer<T>& transfer) const {
  const Hosts& hosts = *hosts_;
  const RowCounts& rows = *transfer.rows_;
  const std::int64_t width = transfer.width_;
  const Buffer<std::int64_t>& here = hosts.peers[static_cast<std::size_t>(hosts.own)];
  transfer.messages_.resize(hosts.relayed.size());
  Unpacker<T> unread(transfer.held_, width);
  for (std::int64_t local = 0; local < std::ssize(here); ++local) {
    unread.take(rows.recv[static_cast<std::size_t>(here[static_cast<std::size_t>(local)])]);
    for (std::size_t i = 0; i < transfer.messages_.size(); ++i)
      append(transfer.messages_[i],
             unread.take(
                 total(row_of(rows.out[i], local, std::ssize(rows.out[i]) / std::ssize(here)))));
  }
  std::int64_t arriving = 0;
  for (const Buffer<std::int64_t>& counts : rows.in) arriving += total(counts);
  transfer.arrived_.resize(static_cast<std::size_t>(arriving * width));
  std::span<T> place(transfer.arrived_);
  for (std::size_t i = 0; i < transfer.messages_.size(); ++i) {
    const Rank partner{hosts.partner(hosts.relayed[i])};
    const Buffer<T>& message = transfer.messages_[i];
    const auto count = static_cast<std::size_t>(total(rows.in[i]) * width);
    if (count > 0)
      transfer.requests_.push_back(
          start_receive<T>(hosts.between, place.first(count), partner, relay_tag, width));
    place = place.subspan(count);
    if (!message.empty())
      transfer.requests_.push_back(
          start_send<T>(hosts.between, message, partner, relay_tag, width));
  }
}

// arrived: from each relayed host, from each process there, to each process here. Returns what this
// process receives from the relays here, relay by relay and host by host.
template <class T>
Buffer<T> RowTransport::from_relays(const RowCounts& rows, std::span<const T> arrived,
                                    std::int64_t width) const {
  const Hosts& hosts = *hosts_;
  const std::int64_t n = hosts.here_size();
  Buffer<Buffer<T>> to_local(static_cast<std::size_t>(n));
  Unpacker<T> unread(arrived, width);
  for (const Buffer<std::int64_t>& counts : rows.in)
    for (std::int64_t i = 0; i < std::ssize(counts); ++i)
      append(to_local[static_cast<std::size_t>(i % n)],
             unread.take(counts[static_cast<std::size_t>(i)]));
  Buffer<T> packed;
  packed.reserve(arrived.size());
  Buffer<std::int64_t> sent, received;
  for (std::int64_t local = 0; local < n; ++local) {
    append<T>(packed, to_local[static_cast<std::size_t>(local)]);
    sent.push_back(std::ssize(to_local[static_cast<std::size_t>(local)]) / width);
    std::int64_t expected = 0;
    for (std::int64_t h = 0; h < std::ssize(hosts.peers); ++h) {
      if (!hosts.is_relayed_by(h, local)) continue;
      for (const std::int64_t peer : hosts.peers[static_cast<std::size_t>(h)])
        expected += rows.recv[static_cast<std::size_t>(peer)];
    }
    received.push_back(expected);
  }
  Buffer<T> result(static_cast<std::size_t>(total(received) * width));
  all_to_all_rows<T>(hosts.here, packed, sent, result, received, width);
  return result;
}

template <class T>
void RowTransport::in_order_of_peers(const RowCounts& rows, std::span<const T> from_here,
                                     std::span<const T> from_relays, std::span<T> recv,
                                     std::int64_t width) const {
  const Hosts& hosts = *hosts_;
  const std::int64_t n = hosts.here_size();
  Buffer<std::span<const T>> parts(rows.recv.size());
  const auto rows_of = [&](std::int64_t peer) { return rows.recv[static_cast<std::size_t>(peer)]; };
  const auto& here = hosts.peers[static_cast<std::size_t>(hosts.own)];
  Unpacker<T> held(from_here, width);
  for (std::int64_t local = 0; local < n; ++local) {
    const std::int64_t peer = here[static_cast<std::size_t>(local)];
    parts[static_cast<std::size_t>(peer)] = held.take(rows_of(peer));
    for (const Buffer<std::int64_t>& counts : rows.out)
      held.take(total(row_of(counts, local, std::ssize(counts) / n)));
  }
  Unpacker<T> relayed(from_relays, width);
  for (std::int64_t local = 0; local < n; ++local) {
    for (std::int64_t h = 0; h < std::ssize(hosts.peers); ++h) {
      if (!hosts.is_relayed_by(h, local)) continue;
      for (const std::int64_t peer : hosts.peers[static_cast<std::size_t>(h)])
        parts[static_cast<std::size_t>(peer)] = relayed.take(rows_of(peer));
    }
  }
  for (std::size_t peer = 0; peer < parts.size(); ++peer)
    std::ranges::copy(parts[peer], recv.begin() + rows.recv_first[peer] * width);
}

template <class T>
RowTransfer<T> RowTransport::start_through_relays(const RowCounts& rows, std::span<const T> send,
                                                  std::span<T> recv, std::int64_t width) const {
  RowTransfer<T> transfer;
  transfer.relays_ = this;
  transfer.rows_ = &rows;
  transfer.recv_ = recv;
  transfer.width_ = width;
  transfer.held_ = to_relays(rows, send, width);
  start_between_relays(transfer);
  return transfer;
}

template <class T>
RowTransfer<T> RowTransport::start(const RowCounts& rows, std::span<const T> send,
                                   std::span<T> recv, std::int64_t width) const {
  RowTransfer<T> transfer;
  if (hosts_) {
    transfer = start_through_relays(rows, send, recv, width);
    if (chunks_ == 1) transfer.finish();
  } else if (chunks_ == 1) {
    all_to_all_rows<T>(group(), send, rows.send, recv, rows.recv, width);
  } else {
    transfer.places_ = {int_counts(rows.send), int_counts(rows.send_first), int_counts(rows.recv),
                        int_counts(rows.recv_first)};
    transfer.requests_.push_back(
        start_all_to_all_rows(group(), send, recv, transfer.places_, width));
  }
  return transfer;
}

template <class T>
void RowTransport::transfer(const Buffer<RowCounts>& chunks, std::span<const T> send,
                            std::span<T> recv, std::int64_t width) const {
  for (const RowCounts& rows : chunks) start(rows, send, recv, width).finish();
}

template <class T>
void RowTransfer<T>::advance() {
  all_done(requests_);
}

template <class T>
void RowTransfer<T>::finish() {
  wait_for_all(requests_);
  if (const RowTransport* relays = std::exchange(relays_, nullptr)) {
    const Buffer<T> relayed = relays->from_relays<T>(*rows_, arrived_, width_);
    relays->in_order_of_peers<T>(*rows_, held_, relayed, recv_, width_);
  }
  *this = {};
}

RowCounts RowTransport::sizes_of_messages(const MessageSize& size) const {
  const Rank self = world_.rank();
  const auto rank = [&](std::int64_t peer) { return Rank{peers_.first.value + peer}; };
  RowCounts sizes;
  for (const Rank p : peers_) {
    sizes.send.push_back(size(self, p));
    sizes.recv.push_back(size(p, self));
  }
  sizes.send_first = offsets(sizes.send);
  sizes.recv_first = offsets(sizes.recv);
  if (!hosts_) return sizes;
  const auto& here = hosts_->peers[static_cast<std::size_t>(hosts_->own)];
  sizes.here = std::ssize(here);
  for (const std::int64_t h : hosts_->relayed) {
    const auto& there = hosts_->peers[static_cast<std::size_t>(h)];
    Buffer<std::int64_t> out, in;
    for (const std::int64_t from : here)
      for (const std::int64_t to : there) out.push_back(size(rank(from), rank(to)));
    for (const std::int64_t from : there)
      for (const std::int64_t to : here) in.push_back(size(rank(from), rank(to)));
    sizes.out.push_back(std::move(out));
    sizes.in.push_back(std::move(in));
  }
  return sizes;
}

// A relay reads in the messages that pass how many rows will pass, chunk by chunk.
void RowTransport::read_relayed_counts(std::span<const std::int64_t> held,
                                       std::span<const std::int64_t> arrived,
                                       const RowCounts& sizes, Buffer<RowCounts>& rows) const {
  const auto& here = hosts_->peers[static_cast<std::size_t>(hosts_->own)];
  for (RowCounts& chunk : rows) {
    chunk.here = sizes.here;
    chunk.out.resize(sizes.out.size());
    chunk.in.resize(sizes.in.size());
  }
  Unpacker<std::int64_t> from_here(held, 1), from_there(arrived, 1);
  for (std::int64_t local = 0; local < sizes.here; ++local) {
    from_here.take(sizes.recv[static_cast<std::size_t>(here[static_cast<std::size_t>(local)])]);
    for (std::size_t i = 0; i < sizes.out.size(); ++i)
      for (const std::int64_t size :
           row_of(sizes.out[i], local, std::ssize(sizes.out[i]) / sizes.here)) {
        const auto message = from_here.take(size);
        for (std::size_t c = 0; c < rows.size(); ++c) rows[c].out[i].push_back(message[c]);
      }
  }
  for (std::size_t i = 0; i < sizes.in.size(); ++i)
    for (const std::int64_t size : sizes.in[i]) {
      const auto message = from_there.take(size);
      for (std::size_t c = 0; c < rows.size(); ++c) rows[c].in[i].push_back(message[c]);
    }
}

RowTransport::Announced RowTransport::announce(std::span<const std::int64_t> messages,
                                               const MessageSize& size) const {
  const RowCounts sizes = sizes_of_messages(size);
  Announced result{.messages = Buffer<std::int64_t>(static_cast<std::size_t>(total(sizes.recv))),
                   .rows = Buffer<RowCounts>(static_cast<std::size_t>(chunks_))};
  if (hosts_) {
    RowTransfer<std::int64_t> transfer =
        start_through_relays<std::int64_t>(sizes, messages, result.messages, 1);
    wait_for_all(transfer.requests_);
    read_relayed_counts(transfer.held_, transfer.arrived_, sizes, result.rows);
    transfer.finish();
  } else {
    all_to_all_rows<std::int64_t>(group(), messages, sizes.send, result.messages, sizes.recv, 1);
  }
  read_counts(messages, sizes.send, result.rows, &RowCounts::send, &RowCounts::send_first);
  read_counts(result.messages, sizes.recv, result.rows, &RowCounts::recv, &RowCounts::recv_first);
  return result;
}

#define SWITCHYARD_INSTANTIATE(T)                                                                  \
  template class RowTransfer<T>;                                                                   \
  template RowTransfer<T> RowTransport::start(const RowCounts&, std::span<const T>, std::span<T>,  \
                                              std::int64_t) const;                                 \
  template void RowTransport::transfer(const Buffer<RowCounts>&, std::span<const T>, std::span<T>, \
                                       std::int64_t) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
SWITCHYARD_INSTANTIATE(std::int64_t)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
