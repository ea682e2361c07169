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

std::span<const std::int64_t> row_of(const Buffer<std::int64_t>& counts, std::int64_t row,
                                     std::int64_t columns) {
  return std::span(counts).subspan(static_cast<std::size_t>(row * columns),
                                   static_cast<std::size_t>(columns));
}

}  // namespace

RowCounts RowCounts::reversed() const {
  RowCounts result{.send = recv, .recv = send, .out = {}, .in = {}};
  for (std::size_t i = 0; i < out.size(); ++i) {
    // Both have n x m entries; in is [m, n] and out is [n, m].
    const std::int64_t n = here, m = n == 0 ? 0 : std::ssize(out[i]) / n;
    result.out.push_back(transposed(in[i], n));
    result.in.push_back(transposed(out[i], m));
  }
  result.here = here;
  return result;
}

RowTransport::RowTransport(const Comm& comm, const Layout& layout, Way way,
                           std::optional<std::int64_t> host)
    : world_(comm), peers_(layout.peers(comm.rank())) {
  if (peers_.size() < comm.size())
    group_.emplace(
        comm.split(static_cast<int>(peers_.first.value), static_cast<int>(comm.rank().value)));
  if (way == Way::two_level && peers_.size() > 1) {
    Hosts found = find_hosts(host ? *host : host_number(group()));
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
  Buffer<std::int64_t> offsets{0};
  for (const std::int64_t count : rows.send) offsets.push_back(offsets.back() + count);
  const auto rows_for = [&](std::int64_t peer) {
    const auto p = static_cast<std::size_t>(peer);
    return send.subspan(static_cast<std::size_t>(offsets[p] * width),
                        static_cast<std::size_t>(rows.send[p] * width));
  };
  Buffer<T> packed;
  packed.reserve(send.size());
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

// held: from each process here its rows for this one, then those to relay. Returns what arrives
// from the other hosts' relays, host by host.
template <class T>
Buffer<T> RowTransport::between_relays(const RowCounts& rows, std::span<const T> held,
                                       std::int64_t width) const {
  const Hosts& hosts = *hosts_;
  const Buffer<std::int64_t>& here = hosts.peers[static_cast<std::size_t>(hosts.own)];
  Buffer<Buffer<T>> messages(hosts.relayed.size());
  Unpacker<T> unread(held, width);
  for (std::int64_t local = 0; local < std::ssize(here); ++local) {
    unread.take(rows.recv[static_cast<std::size_t>(here[static_cast<std::size_t>(local)])]);
    for (std::size_t i = 0; i < messages.size(); ++i)
      append(messages[i], unread.take(total(row_of(rows.out[i], local,
                                                   std::ssize(rows.out[i]) / std::ssize(here)))));
  }
  std::int64_t arriving = 0;
  for (const Buffer<std::int64_t>& counts : rows.in) arriving += total(counts);
  Buffer<T> arrived(static_cast<std::size_t>(arriving * width));
  Buffer<Request> requests;
  std::span<T> place(arrived);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Rank partner{hosts.partner(hosts.relayed[i])};
    const auto count = static_cast<std::size_t>(total(rows.in[i]) * width);
    if (count > 0)
      requests.push_back(start_receive<T>(hosts.between, place.first(count), partner, relay_tag));
    place = place.subspan(count);
    if (!messages[i].empty())
      requests.push_back(start_send<T>(hosts.between, messages[i], partner, relay_tag));
  }
  wait_for_all(requests);
  return arrived;
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
  auto place = recv.begin();
  for (const std::span<const T> part : parts) place = std::ranges::copy(part, place).out;
}

template <class T>
void RowTransport::transfer(const RowCounts& rows, std::span<const T> send, std::span<T> recv,
                            std::int64_t width) const {
  if (!hosts_) {
    all_to_all_rows<T>(group(), send, rows.send, recv, rows.recv, width);
    return;
  }
  const Buffer<T> held = to_relays(rows, send, width);
  const Buffer<T> arrived = between_relays<T>(rows, held, width);
  const Buffer<T> relayed = from_relays<T>(rows, arrived, width);
  in_order_of_peers<T>(rows, held, relayed, recv, width);
}

RowCounts RowTransport::sizes_of_messages(const MessageSize& size) const {
  const Rank self = world_.rank();
  const auto rank = [&](std::int64_t peer) { return Rank{peers_.first.value + peer}; };
  RowCounts sizes;
  for (const Rank p : peers_) {
    sizes.send.push_back(size(self, p));
    sizes.recv.push_back(size(p, self));
  }
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

// A relay reads in the messages that pass how many rows will pass.
void RowTransport::read_relayed_counts(std::span<const std::int64_t> held,
                                       std::span<const std::int64_t> arrived,
                                       const RowCounts& sizes, RowCounts& rows) const {
  const auto& here = hosts_->peers[static_cast<std::size_t>(hosts_->own)];
  rows.here = sizes.here;
  rows.out.resize(sizes.out.size());
  Unpacker<std::int64_t> from_here(held, 1), from_there(arrived, 1);
  for (std::int64_t local = 0; local < sizes.here; ++local) {
    from_here.take(sizes.recv[static_cast<std::size_t>(here[static_cast<std::size_t>(local)])]);
    for (std::size_t i = 0; i < sizes.out.size(); ++i)
      for (const std::int64_t size :
           row_of(sizes.out[i], local, std::ssize(sizes.out[i]) / sizes.here))
        rows.out[i].push_back(from_here.take(size)[0]);
  }
  for (const Buffer<std::int64_t>& counts : sizes.in) {
    rows.in.emplace_back();
    for (const std::int64_t size : counts) rows.in.back().push_back(from_there.take(size)[0]);
  }
}

RowTransport::Announced RowTransport::announce(std::span<const std::int64_t> messages,
                                               const MessageSize& size) const {
  const RowCounts sizes = sizes_of_messages(size);
  Announced result{.messages = Buffer<std::int64_t>(static_cast<std::size_t>(total(sizes.recv))),
                   .rows = {}};
  if (hosts_) {
    const auto held = to_relays<std::int64_t>(sizes, messages, 1);
    const auto arrived = between_relays<std::int64_t>(sizes, held, 1);
    const auto relayed = from_relays<std::int64_t>(sizes, arrived, 1);
    in_order_of_peers<std::int64_t>(sizes, held, relayed, result.messages, 1);
    read_relayed_counts(held, arrived, sizes, result.rows);
  } else {
    all_to_all_rows<std::int64_t>(group(), messages, sizes.send, result.messages, sizes.recv, 1);
  }
  Unpacker<std::int64_t> sent(messages, 1), received(result.messages, 1);
  for (const std::int64_t length : sizes.send) result.rows.send.push_back(sent.take(length)[0]);
  for (const std::int64_t length : sizes.recv) result.rows.recv.push_back(received.take(length)[0]);
  return result;
}

template void RowTransport::transfer(const RowCounts&, std::span<const float>, std::span<float>,
                                     std::int64_t) const;
template void RowTransport::transfer(const RowCounts&, std::span<const bfloat16>,
                                     std::span<bfloat16>, std::int64_t) const;
template void RowTransport::transfer(const RowCounts&, std::span<const std::int64_t>,
                                     std::span<std::int64_t>, std::int64_t) const;

}  // namespace switchyard
