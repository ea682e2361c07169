#include "comm/canonical.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/buffer.hpp"
#include "comm/request.hpp"

namespace switchyard {
namespace {

// A thirty-second of the vector, within these limits: much of a small model can travel before its
// last gradients are final, and rows on their way to experts do not wait for long behind them.
constexpr std::int64_t least_chunk_bytes = 512 << 10, most_chunk_bytes = 1 << 20;
constexpr std::int64_t least_share_bytes = 64 << 10;  // of a whole chunk, for each process
constexpr std::int64_t most_lanes = 4;                // chunks on their way at a time
constexpr int tags = 1 << 15;                         // that every MPI has

template <class T>
void add(std::span<const T> left, std::span<const T> right, std::span<T> into) {
  const T *const a = left.data(), *const b = right.data();
  T* const sum = into.data();
  const auto n = static_cast<std::int64_t>(into.size());
#pragma omp parallel for simd schedule(static)  // throws nothing
  for (std::int64_t i = 0; i < n; ++i) sum[i] = a[i] + b[i];
}

// Folds the leaves of one process in place into the values of its nodes, from left to right.
template <class T>
Buffer<std::span<T>> fold_leaves(const LeafPartition& partition, Rank self,
                                 std::span<const std::span<T>> leaves, std::int64_t first,
                                 std::int64_t count) {
  TreeFold fold(partition.leaves());
  Buffer<std::span<T>> values;
  std::int64_t leaf = partition.first(self);
  for (const std::span<T> all : leaves) {
    values.push_back(all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    fold.push({0, leaf++}, [&] {
      add<T>(values.end()[-2], values.end()[-1], values.end()[-2]);
      values.pop_back();
    });
  }
  return values;
}

// The elements of a slot: of the whole vector for own nodes, of some pieces for room.
template <class T>
struct Slot {
  std::span<T> elements;
  std::int64_t first = 0;  // the element of the vector at elements[0]
};

// One chunk on its way.
template <class T>
class Lane {
 public:
  Lane(const Comm& comm, std::int64_t room) : comm_(&comm), room_(static_cast<std::size_t>(room)) {}

  bool busy() const { return schedule_ != nullptr; }
  std::int64_t chunk() const { return busy() ? chunk_ : -1; }

  // nodes: values of the own nodes of this chunk.
  void start(const SumSchedule& schedule, std::span<const std::span<T>> nodes, std::int64_t chunk) {
    schedule_ = &schedule;
    chunk_ = chunk;
    round_ = 0;
    length_ = std::ssize(nodes[0]);
    slots_.clear();
    for (const std::span<T> node : nodes) slots_.push_back({node, 0});
    T* next = room_.data();
    for (const SumSchedule::Pieces& pieces : schedule.rooms) {
      const std::int64_t first = element(pieces.first), count = element(pieces.last) - first;
      slots_.push_back({{next, static_cast<std::size_t>(count)}, first});
      next += count;
    }
    open_round();
  }

  // Goes on as far as it can without waiting.
  void advance() {
    while (busy() && all_done(requests_)) close_round();
  }
  void finish() {
    while (busy()) {
      wait_for_all(requests_);
      close_round();
    }
  }

 private:
  std::int64_t element(std::int64_t piece) const {
    return first_element(piece, schedule_->pieces, length_);
  }
  std::span<T> part(int slot, const SumSchedule::Pieces& pieces) {
    const Slot<T>& at = slots_[static_cast<std::size_t>(slot)];
    const std::int64_t first = element(pieces.first), count = element(pieces.last) - first;
    return at.elements.subspan(static_cast<std::size_t>(first - at.first),
                               static_cast<std::size_t>(count));
  }

  void open_round() {
    if (round_ == schedule_->rounds.size()) {
      schedule_ = nullptr;
      return;
    }
    const SumSchedule::Round& round = schedule_->rounds[round_];
    for (const SumSchedule::Message& message : round.receives) {
      const std::span<T> data = part(message.slot, message.pieces);
      if (!data.empty()) requests_.push_back(start_receive<T>(*comm_, data, message.peer, tag()));
    }
    for (const SumSchedule::Message& message : round.sends) {
      const std::span<T> data = part(message.slot, message.pieces);
      if (!data.empty()) requests_.push_back(start_send<T>(*comm_, data, message.peer, tag()));
    }
  }

  void close_round() {
    requests_.clear();
    for (const SumSchedule::Addition& sum : schedule_->rounds[round_].additions)
      add<T>(part(sum.left, sum.pieces), part(sum.right, sum.pieces), part(sum.into, sum.pieces));
    ++round_;
    open_round();
  }

  int tag() const { return static_cast<int>(chunk_ % tags); }

  const Comm* comm_;
  const SumSchedule* schedule_ = nullptr;  // null: nothing is on its way
  std::size_t round_ = 0;
  std::int64_t chunk_ = 0;
  std::int64_t length_ = 0;
  Buffer<T> room_;
  Buffer<Slot<T>> slots_;
  Buffer<Request> requests_;
};

std::int64_t room_of(const SumSchedule& schedule, std::int64_t n) {
  std::int64_t room = 0;
  for (const SumSchedule::Pieces& pieces : schedule.rooms)
    room += first_element(pieces.last, schedule.pieces, n) -
            first_element(pieces.first, schedule.pieces, n);
  return room;
}

std::int64_t lanes_of(std::int64_t length, std::int64_t chunk) {
  return std::min(most_lanes, (length + chunk - 1) / chunk);
}

// Elements of room that a lane needs for whole chunks and for the last.
std::int64_t lane_room(const LeafPartition& partition, Rank self, std::int64_t length,
                       std::int64_t chunk, std::int64_t element_bytes) {
  const auto room = [&](std::int64_t n) {
    return room_of(schedule_sum(partition, self, n * element_bytes), n);
  };
  return length < chunk ? room(length) : std::max(room(chunk), room(length % chunk));
}

// The elements that travel at a time.
std::int64_t chunk_of_sum(const LeafPartition& partition, std::int64_t length,
                          std::int64_t element_bytes) {
  const std::int64_t part =
      std::clamp(length * element_bytes / 32, least_chunk_bytes, most_chunk_bytes);
  const std::int64_t bytes = std::max(part, partition.processes() * least_share_bytes);
  return std::clamp<std::int64_t>(bytes / element_bytes, 1, std::max<std::int64_t>(length, 1));
}

}  // namespace

std::int64_t room_of_sum(const LeafPartition& partition, Rank self, std::int64_t length,
                         std::int64_t element_bytes) {
  const std::int64_t chunk = chunk_of_sum(partition, length, element_bytes);
  return lanes_of(length, chunk) * element_bytes *
         lane_room(partition, self, length, chunk, element_bytes);
}

SumTraffic traffic_of_sum(const LeafPartition& partition, Rank self, std::int64_t length,
                          std::int64_t element_bytes, const IsFar& is_far) {
  const std::int64_t chunk = chunk_of_sum(partition, length, element_bytes);
  const auto traffic = [&](std::int64_t n) {
    return traffic_of(schedule_sum(partition, self, n * element_bytes), n, is_far);
  };
  SumTraffic sum = traffic(length % chunk);
  sum.add(traffic(chunk), length / chunk);
  return sum;
}

template <class T>
struct CanonicalSum<T>::State : InStorage {
  const Comm& comm;
  LeafPartition partition;
  std::int64_t length, chunk;
  SumSchedule whole, last;  // for a whole chunk, and for the last of the vector
  Buffer<Lane<T>> lanes;
  Buffer<std::span<T>> leaves;
  std::int64_t unstarted = 0;  // chunks, from the first
  std::int64_t final = 0;      // elements from here on are final

  State(const Comm& comm, const LeafPartition& partition, std::int64_t length, std::int64_t chunk)
      : comm(comm),
        partition(partition),
        length(length),
        chunk(chunk > 0 ? chunk : chunk_of_sum(partition, length, sizeof(T))),
        whole(schedule_sum(partition, comm.rank(), bytes(this->chunk))),
        last(schedule_sum(partition, comm.rank(), bytes(length - first(chunks() - 1)))) {
    assert(comm.size() == partition.processes());
    if (comm.size() == 1) return;
    const std::int64_t room = lane_room(partition, comm.rank(), length, this->chunk, bytes(1));
    for (std::int64_t i = lanes_of(length, this->chunk); i > 0; --i) lanes.emplace_back(comm, room);
  }

  static std::int64_t bytes(std::int64_t elements) {
    return elements * static_cast<std::int64_t>(sizeof(T));
  }
  std::int64_t chunks() const { return (length + chunk - 1) / chunk; }
  std::int64_t first(std::int64_t i) const { return std::max<std::int64_t>(i, 0) * chunk; }

  // The sum of chunk i begins: in this process, then, where there are others, on a lane.
  void start(std::int64_t i, Lane<T>* lane) {
    const std::int64_t count = std::min(chunk, length - first(i));
    const Buffer<std::span<T>> nodes =
        fold_leaves<T>(partition, comm.rank(), leaves, first(i), count);
    const SumSchedule& schedule = i == chunks() - 1 ? last : whole;
    if (lane) lane->start(schedule, nodes, i);
  }

  bool may_start() const { return unstarted > 0 && first(unstarted - 1) >= final; }

  void advance() {
    if (lanes.empty()) {
      while (may_start()) start(--unstarted, nullptr);
      return;
    }
    for (Lane<T>& lane : lanes) {
      lane.advance();
      while (!lane.busy() && may_start()) {
        start(--unstarted, &lane);
        lane.advance();
      }
    }
  }

  // Waits for the chunk that was started first. All processes start them in the same order, so its
  // partners never wait for one that this process has yet to start.
  void finish() {
    for (advance(); !lanes.empty(); advance()) {
      const auto oldest = std::ranges::max_element(lanes, {}, &Lane<T>::chunk);
      if (!oldest->busy()) return;
      oldest->finish();
    }
  }
};

template <class T>
CanonicalSum<T>::CanonicalSum(const Comm& comm, const LeafPartition& partition, std::int64_t length,
                              std::int64_t chunk)
    : state_(std::make_unique<State>(comm, partition, length, chunk)) {}
template <class T>
CanonicalSum<T>::CanonicalSum(CanonicalSum&&) noexcept = default;
template <class T>
CanonicalSum<T>& CanonicalSum<T>::operator=(CanonicalSum&&) noexcept = default;
template <class T>
CanonicalSum<T>::~CanonicalSum() = default;

template <class T>
void CanonicalSum<T>::all_reduce(std::span<const std::span<T>> leaves) {
  begin(leaves);
  finish();
}

template <class T>
void CanonicalSum<T>::begin(std::span<const std::span<T>> leaves) {
  assert(std::ssize(leaves) == state_->partition.last(state_->comm.rank()) -
                                   state_->partition.first(state_->comm.rank()));
  assert(std::ranges::all_of(leaves, [&](auto l) { return std::ssize(l) == state_->length; }));
  state_->leaves.assign(leaves.begin(), leaves.end());
  state_->unstarted = state_->chunks();
  state_->final = state_->length;
}

template <class T>
void CanonicalSum<T>::final_from(std::int64_t element) {
  state_->final = element;
  state_->advance();
}

template <class T>
void CanonicalSum<T>::advance() {
  state_->advance();
}

template <class T>
void CanonicalSum<T>::finish() {
  state_->final = 0;
  state_->finish();
}

template <class T>
void canonical_all_reduce(const Comm& comm, const LeafPartition& partition,
                          std::span<const std::span<T>> leaves) {
  CanonicalSum<T>(comm, partition, std::ssize(leaves[0])).all_reduce(leaves);
}

template class CanonicalSum<float>;
template class CanonicalSum<double>;
template void canonical_all_reduce(const Comm&, const LeafPartition&,
                                   std::span<const std::span<float>>);
template void canonical_all_reduce(const Comm&, const LeafPartition&,
                                   std::span<const std::span<double>>);

}  // namespace switchyard
