// How rows travel between the processes of a replica group: made once, it owns the communicators.
// It knows counts of rows and their bytes, not what they are.
//
// Two ways give the same rows in the same order:
// * direct: one MPI_Alltoallv, so each process sends a message to each other;
// * two-level, for many small messages between hosts: rows for host h first go to a relay, the
//   process h mod n of the own host of n processes; relays of two hosts send each other one
//   message; the relay on the other side hands the rows to their processes. Rows for the own host
//   go there directly. A process then sends at most 2 (n-1) messages in its host, and one for each
//   host that it relays to, instead of R-1.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "base/buffer.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"

namespace switchyard {

// The rows of one exchange, as one process needs to know them. Peers are the processes of the
// group, counted from its first.
struct RowCounts {
  Buffer<std::int64_t> send, recv;  // [peers] of this process
  // Of the hosts that this process relays to, in their order, [n, processes there] and the other
  // way round: rows from a process here to a process there, and from there to here.
  Buffer<Buffer<std::int64_t>> out, in;
  std::int64_t here = 0;  // n

  RowCounts reversed() const;  // of the way back
};

class RowTransport {
 public:
  enum class Way { direct, two_level };

  // host: for the two-level way, a number that the processes of this host share; unset: those that
  // share memory. Collective over comm, which must outlive it.
  RowTransport(const Comm& comm, const Layout& layout, Way way = Way::direct,
               std::optional<std::int64_t> host = std::nullopt);

  // The processes to which rows may go: those of this process's group; itself alone where it hosts
  // whole groups.
  Interval<Rank> peers() const { return peers_; }

  // Sends one message to each peer and receives one from each, packed in their order. The first
  // element of each message is the number of rows that the sender will send to that peer. size: how
  // long a message is, for any two peers. Collective over the group.
  struct Announced {
    Buffer<std::int64_t> messages;
    RowCounts rows;
  };
  using MessageSize = std::function<std::int64_t(Rank from, Rank to)>;
  Announced announce(std::span<const std::int64_t> messages, const MessageSize& size) const;

  // send [sum of rows.send, width] -> recv [sum of rows.recv, width], both packed in the peers'
  // order. T: float, bfloat16, std::int64_t. Collective over the group.
  template <class T>
  void transfer(const RowCounts& rows, std::span<const T> send, std::span<T> recv,
                std::int64_t width) const;

 private:
  struct Hosts {
    Comm here;     // the peers of this host
    Comm between;  // all peers, for relays alone: gradients travel between processes meanwhile
    Buffer<Buffer<std::int64_t>> peers;  // of each host, in their order
    std::int64_t own = 0;                // this host
    Buffer<std::int64_t> relayed;        // the hosts that this process relays to

    std::int64_t here_size() const { return here.size(); }
    bool is_relayed_by(std::int64_t host, std::int64_t local) const {
      return host != own && host % here.size() == local;
    }
    // The peer on `host` with which this host's relay exchanges messages.
    std::int64_t partner(std::int64_t host) const {
      const Buffer<std::int64_t>& there = peers[static_cast<std::size_t>(host)];
      return there[static_cast<std::size_t>(own % std::ssize(there))];
    }
  };

  const Comm& group() const { return group_ ? *group_ : world_; }
  template <class T>
  Buffer<T> to_relays(const RowCounts& rows, std::span<const T> send, std::int64_t width) const;
  template <class T>
  Buffer<T> between_relays(const RowCounts& rows, std::span<const T> held,
                           std::int64_t width) const;
  template <class T>
  Buffer<T> from_relays(const RowCounts& rows, std::span<const T> arrived,
                        std::int64_t width) const;
  template <class T>
  void in_order_of_peers(const RowCounts& rows, std::span<const T> from_here,
                         std::span<const T> from_relays, std::span<T> recv,
                         std::int64_t width) const;
  RowCounts sizes_of_messages(const MessageSize& size) const;
  void read_relayed_counts(std::span<const std::int64_t> held,
                           std::span<const std::int64_t> arrived, const RowCounts& sizes,
                           RowCounts& rows) const;
  Hosts find_hosts(std::int64_t host) const;

  const Comm& world_;
  Interval<Rank> peers_;
  std::optional<Comm> group_;   // unset where the group is the world
  std::optional<Hosts> hosts_;  // unset where rows travel directly
};

}  // namespace switchyard
