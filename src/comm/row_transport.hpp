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
#include "comm/request.hpp"

namespace switchyard {

// The rows of one exchange, or of one chunk of it, as one process needs to know them. Peers are the
// processes of the group, counted from its first.
struct RowCounts {
  Buffer<std::int64_t> send, recv;              // [peers] of this process
  Buffer<std::int64_t> send_first, recv_first;  // [peers] where these rows begin in the matrices
  // Of the hosts that this process relays to, in their order, [n, processes there] and the other
  // way round: rows from a process here to a process there, and from there to here.
  Buffer<Buffer<std::int64_t>> out, in;
  std::int64_t here = 0;  // n

  RowCounts reversed() const;  // of the way back
};

// Into how many chunks process p exchanges the rows of its experts: as many as asked for, but at
// most one per expert, and one where no rows leave the process. The same on all peers.
std::int64_t exchange_chunks(const Layout& layout, Rank p, std::int64_t asked);

class RowTransport;

// Rows of one chunk on their way, made by RowTransport::start. Move-only. The matrices and the
// counts must stay in place until finish(), which every process calls in the order of the starts.
template <class T>
class RowTransfer {
 public:
  RowTransfer() = default;  // nothing on its way

  void advance();  // lets MPI move messages on; does not wait
  void finish();   // waits until the rows are there. Collective over the group.

 private:
  friend class RowTransport;

  RowPlaces places_;
  Buffer<Request> requests_;
  // Through relays: what this process holds and relays until the rows are there.
  const RowTransport* relays_ = nullptr;
  const RowCounts* rows_ = nullptr;
  Buffer<T> held_, arrived_;
  Buffer<Buffer<T>> messages_;
  std::span<T> recv_;
  std::int64_t width_ = 0;
};

class RowTransport {
 public:
  enum class Way { direct, two_level };

  struct Options {
    Way way = Way::direct;
    std::int64_t chunks = 1;  // the rows of one can travel while another is computed
    // For the two-level way, a number that the processes of this host share; unset: those that
    // share memory.
    std::optional<std::int64_t> host = {};
  };
  // Collective over comm, which must outlive it.
  RowTransport(const Comm& comm, const Layout& layout, const Options& options);
  RowTransport(const Comm& comm, const Layout& layout) : RowTransport(comm, layout, Options()) {}

  // The processes to which rows may go: those of this process's group; itself alone where it hosts
  // whole groups.
  Interval<Rank> peers() const { return peers_; }
  std::int64_t chunks() const { return chunks_; }  // the same number on all processes

  // Sends one message to each peer and receives one from each, packed in their order. The first
  // elements of each message, one per chunk, are the numbers of rows that the sender will send to
  // that peer. size: how long a message is, for any two peers. Collective over the group.
  struct Announced {
    Buffer<std::int64_t> messages;
    Buffer<RowCounts> rows;  // [chunks]
  };
  using MessageSize = std::function<std::int64_t(Rank from, Rank to)>;
  Announced announce(std::span<const std::int64_t> messages, const MessageSize& size) const;

  // Rows of `send` -> rows of `recv`, matrices of `width` columns with the rows of all chunks,
  // packed in the peers' order. With a single chunk, nothing can be computed meanwhile, and the
  // rows are there when it returns. T: float, bfloat16, std::int64_t. Collective over the group.
  template <class T>
  RowTransfer<T> start(const RowCounts& rows, std::span<const T> send, std::span<T> recv,
                       std::int64_t width) const;
  // The same for all chunks, and waits.
  template <class T>
  void transfer(const Buffer<RowCounts>& chunks, std::span<const T> send, std::span<T> recv,
                std::int64_t width) const;

 private:
  template <class T>
  friend class RowTransfer;

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
  RowTransfer<T> start_through_relays(const RowCounts& rows, std::span<const T> send,
                                      std::span<T> recv, std::int64_t width) const;
  template <class T>
  Buffer<T> to_relays(const RowCounts& rows, std::span<const T> send, std::int64_t width) const;
  template <class T>
  void start_between_relays(RowTransfer<T>& transfer) const;
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
                           Buffer<RowCounts>& rows) const;
  Hosts find_hosts(std::int64_t host) const;

  const Comm& world_;
  Interval<Rank> peers_;
  std::int64_t chunks_;
  std::optional<Comm> group_;   // unset where the group is the world
  std::optional<Hosts> hosts_;  // unset where rows travel directly
};

}  // namespace switchyard
