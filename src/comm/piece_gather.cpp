#include "comm/piece_gather.hpp"

#include <bit>
#include <cassert>

#include "comm/request.hpp"

namespace switchyard {
namespace {

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
  const auto part = [&](const SumSchedule::Pieces& pieces) {
    const std::int64_t first = ownership.first_element(pieces.first);
    return vector.subspan(static_cast<std::size_t>(first),
                          static_cast<std::size_t>(ownership.first_element(pieces.last) - first));
  };
  Buffer<Request> requests;
  for (const GatherRound& round : gather_rounds(ownership, comm.rank())) {
    start_receives(comm, part(round.received), round.from, 0, requests);
    start_sends(comm, part(round.sent), round.to, 0, requests);
    wait_for_all(requests);
  }
}

SumTraffic traffic_of_gather(const Ownership& ownership, Rank self) {
  SumTraffic traffic;
  for (const GatherRound& round : gather_rounds(ownership, self)) {
    const std::int64_t elements =
        ownership.first_element(round.sent.last) - ownership.first_element(round.sent.first);
    traffic.messages += messages_of(elements);
    traffic.elements += elements;
  }
  return traffic;
}

}  // namespace switchyard
