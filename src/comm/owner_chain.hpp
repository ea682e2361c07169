// Sums over the rows of one tensor whose rows several processes own, in the order of the rows, so
// that the bits do not depend on where it is cut: what has been added up so far is carried from
// owner to owner, each of which adds its own terms, and the last hands the sums to all of them. The
// numbers are few (for a matrix, about as many as it has columns). It knows no tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.hpp"
#include "comm/comm.hpp"
#include "comm/request.hpp"

namespace switchyard {

// One sum at a time: open(), add own terms to `sums`, close(), result(). A process may belong to
// two chains, of the tensors at both ends of its piece. To wait for no more than those, it opens
// and closes the chain of which it is the first before the other, and asks for the other's result
// first.
class OwnerChain {
 public:
  // owners: in the order of the rows; this process is one of them. `comm` must outlive it. `tag`:
  // the same on all owners, differing between chains that share a process.
  OwnerChain(const Comm& comm, std::vector<Rank> owners, int tag);

  bool is_first() const { return place_ == 0; }
  std::span<const Rank> owners() const { return owners_; }
  // Sets sums to those of the owners before this one: on the first, zeros.
  void open(std::span<double> sums);
  // Passes the sums on. `sums` must stay in place until result() returns.
  void close(std::span<double> sums);
  // Sets sums to those of all owners.
  void result(std::span<double> sums);

 private:
  Rank at(std::size_t place) const { return owners_[place]; }
  bool is_last() const { return place_ + 1 == owners_.size(); }

  const Comm* comm_;
  std::vector<Rank> owners_;
  std::size_t place_;  // of this process among them
  int tag_;
  Buffer<Request> sends_;
};

}  // namespace switchyard
