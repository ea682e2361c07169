// Canonical sums over processes: vectors of leaves are added in the order of the tree in
// comm/tree.hpp, so the bits do not depend on the number of processes. MPI_Allreduce gives no such
// guarantee. Each process folds its own leaves; comm/sum_schedule.hpp says who sends what then.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "comm/comm.hpp"
#include "comm/sum_schedule.hpp"
#include "comm/tree.hpp"

namespace switchyard {

// Adds up vectors of a fixed length, again and again. Made once: it owns its room and its schedule.
// The vectors are cut into chunks, which are summed from the last to the first, a few at a time; so
// the room is bounded, and the sum of what is final can travel while the rest is still computed.
// T: float or double. Collective over `comm`, which must outlive it and on which no other
// CanonicalSum may be between begin() and finish().
template <class T>
class CanonicalSum {
 public:
  // `partition`: which process has which leaves. chunk: elements, 0 for a good one.
  CanonicalSum(const Comm& comm, const LeafPartition& partition, std::int64_t length,
               std::int64_t chunk = 0);
  CanonicalSum(CanonicalSum&&) noexcept;
  CanonicalSum& operator=(CanonicalSum&&) noexcept;
  ~CanonicalSum();

  // leaves[i]: this process's i-th leaf, `length` elements. Afterwards leaves[0] holds the sum,
  // with the same bits on every process, and the others nothing meaningful.
  void all_reduce(std::span<const std::span<T>> leaves);

  // The same in parts: begin(); then, as often as wanted, final_from(); at last finish().
  // Nothing travels before final_from() says which elements are final: [element, length). It and
  // advance() do what can be done without waiting. Not every process needs to call them as often.
  void begin(std::span<const std::span<T>> leaves);
  void final_from(std::int64_t element);
  void advance();
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One such sum. Collective.
template <class T>
void canonical_all_reduce(const Comm& comm, const LeafPartition& partition,
                          std::span<const std::span<T>> leaves);

// The bytes that a CanonicalSum of `length` elements takes on process `self` beside the leaves.
std::int64_t room_of_sum(const LeafPartition& partition, Rank self, std::int64_t length,
                         std::int64_t element_bytes);
// What process `self` sends for it. Both are pure arithmetic.
SumTraffic traffic_of_sum(const LeafPartition& partition, Rank self, std::int64_t length,
                          std::int64_t element_bytes, const IsFar& is_far = {});

}  // namespace switchyard
