// Which process runs on which host, in plans: consecutive ranks share a host, as mpirun places them
// with --map-by slot, and hosts have equally many, give or take one.
#pragma once

#include <cstdint>

#include "base/index.hpp"

namespace switchyard {

struct HostLayout {
  std::int64_t processes = 1, hosts = 1;  // 1 <= hosts <= processes

  std::int64_t host_of(Rank p) const { return ((p.value + 1) * hosts - 1) / processes; }
  Interval<Rank> processes_of(std::int64_t host) const {
    return {Rank{host * processes / hosts}, Rank{(host + 1) * processes / hosts}};
  }
  Interval<Rank> beside(Rank p) const { return processes_of(host_of(p)); }
  std::int64_t most_on_a_host() const { return (processes + hosts - 1) / hosts; }
};

}  // namespace switchyard
