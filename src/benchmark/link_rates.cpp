#include "benchmark/link_rates.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "benchmark/machine_rates.hpp"
#include "comm/job.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t large_message = 1 << 20;  // bytes

// The best time of one of `calls` exchanges in which this process sends `bytes` to each process for
// which `partners` has 1, and receives as much. Collective over comm; the slowest of `world`
// counts.
double seconds_of_exchange(const Comm& world, const Comm& comm,
                           const std::vector<std::int64_t>& partners, std::int64_t bytes,
                           int calls) {
  const std::int64_t elements = bytes / static_cast<std::int64_t>(sizeof(float));
  std::int64_t count = 0;
  for (const std::int64_t p : partners) count += p;
  const std::vector<float> sent(static_cast<std::size_t>(count * elements), 1.0f);
  std::vector<float> received(sent.size());
  return best_seconds(world,
                      [&] {
                        for (int i = 0; i < calls; ++i)
                          all_to_all_rows<float>(comm, sent, partners, received, partners,
                                                 elements);
                      }) /
         calls;
}

LinkTimes link_of(const std::function<double(std::int64_t bytes, int calls)>& seconds,
                  double messages, double senders) {
  const double small = seconds(8, 100), large = seconds(large_message, 4);
  const double moving = std::max(large - small, 1e-9);
  return {small / messages, senders * messages * large_message / moving};
}

}  // namespace

std::optional<LinkTimes> measure_inside_host(const Comm& comm) {
  const Comm here = within_host(comm);
  std::array<std::int64_t, 1> most = {here.size()};
  all_reduce_max(comm, most);
  if (most[0] == 1) return std::nullopt;
  std::vector<std::int64_t> partners(static_cast<std::size_t>(here.size()), 1);
  partners[static_cast<std::size_t>(here.rank().value)] = 0;
  return link_of([&](std::int64_t bytes,
                     int calls) { return seconds_of_exchange(comm, here, partners, bytes, calls); },
                 static_cast<double>(most[0] - 1), 1);
}

std::optional<LinkTimes> measure_between_hosts(const Comm& comm) {
  // Pairs of hosts, and in each of them pairs of processes; the last host of an odd number and
  // processes without a counterpart look on.
  const std::int64_t own = host_number(comm);
  const Buffer<std::int64_t> host = all_gather(comm, std::span<const std::int64_t>(&own, 1));
  std::vector<std::int64_t> names;
  std::vector<std::vector<std::int64_t>> members;
  for (std::int64_t p = 0; p < std::ssize(host); ++p) {
    const auto at = std::ranges::find(names, host[static_cast<std::size_t>(p)]) - names.begin();
    if (at == std::ssize(names)) {
      names.push_back(host[static_cast<std::size_t>(p)]);
      members.emplace_back();
    }
    members[static_cast<std::size_t>(at)].push_back(p);
  }
  if (names.size() == 1) return std::nullopt;
  std::vector<std::int64_t> partners(host.size(), 0);
  std::size_t senders = 0;
  for (std::size_t h = 0; h + 1 < members.size(); h += 2) {
    const auto pairs = std::min(members[h].size(), members[h + 1].size());
    senders = senders == 0 ? pairs : std::min(senders, pairs);
    for (std::size_t i = 0; i < pairs; ++i) {
      const std::int64_t left = members[h][i], right = members[h + 1][i];
      if (comm.rank().value == left) partners[static_cast<std::size_t>(right)] = 1;
      if (comm.rank().value == right) partners[static_cast<std::size_t>(left)] = 1;
    }
  }
  return link_of([&](std::int64_t bytes,
                     int calls) { return seconds_of_exchange(comm, comm, partners, bytes, calls); },
                 1, static_cast<double>(senders));
}

}  // namespace switchyard
