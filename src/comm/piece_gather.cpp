#include "comm/piece_gather.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

#include "comm/request.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t most_in_message = 1 << 18;  // elements: 1 MB

// Calls f(first, count) for each message that carries the elements of `pieces`.
template <class F>
void for_each_message(const Ownership& ownership, const SumSchedule::Pieces& pieces, F f) {
  const std::int64_t last = ownership.first_element(pieces.last);
  for (std::int64_t first = ownership.first_element(pieces.first); first < last;
       first += most_in_message)
    f(first, std::min(most_in_message, last - first));
}

Buffer<GatherRound> rounds_along_bits(const Ownership& ownership, Rank self) {
  Buffer<GatherRound> rounds;
  const std::int64_t piece = ownership.piece_of(self);
  for (std::int64_t width = 1; width < ownership.processes(); width *= 2) {
    const std::int64_t held = piece / width * width, missing = held ^ width;
    const Rank partner = ownership.owner(piece ^ width);
    rounds.push_back({partner, partner, {held, held + width}, {missing, missing + width}});
  }
  return rounds;
}

Buffer<GatherRound> rounds_around_ring(std::int64_t processes, Rank self) {
  Buffer<GatherRound> rounds;
  const auto around = [&](std::int64_t i) { return (i + processes) % processes; };
  for (std::int64_t i = 0; i + 1 < processes; ++i) {
    const std::int64_t sent = around(self.value - i), received = around(self.value - i - 1);
    rounds.push_back({Rank{around(self.value + 1)},
                      Rank{around(self.value - 1)},
                      {sent, sent + 1},
                      {received, received + 1}});
  }
  return rounds;
}

}  // namespace

Buffer<GatherRound> gather_rounds(const Ownership& ownership, Rank self) {
  const std::int64_t processes = ownership.processes();
  return std::has_single_bit(static_cast<std::uint64_t>(processes))
             ? rounds_along_bits(ownership, self)
             : rounds_around_ring(processes, self);
}

void gather_pieces(const Comm& comm, const Ownership& ownership, std::span<float> vector) {
  assert(comm.size() == ownership.processes());
  assert(std::ssize(vector) == ownership.first_element(comm.size()));
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return vector.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
  };
  for (const GatherRound& round : gather_rounds(ownership, comm.rank())) {
    Buffer<Request> requests;
    for_each_message(ownership, round.received, [&](std::int64_t first, std::int64_t count) {
      requests.push_back(start_receive<float>(comm, part(first, count), round.from, 0));
    });
    for_each_message(ownership, round.sent, [&](std::int64_t first, std::int64_t count) {
      requests.push_back(start_send<float>(comm, part(first, count), round.to, 0));
    });
    wait_for_all(requests);
  }
}

SumTraffic traffic_of_gather(const Ownership& ownership, Rank self) {
  SumTraffic traffic;
  for (const GatherRound& round : gather_rounds(ownership, self)) {
    for_each_message(ownership, round.sent, [&](std::int64_t, std::int64_t count) {
      ++traffic.messages;
      traffic.elements += count;
    });
  }
  return traffic;
}

}  // namespace switchyard
