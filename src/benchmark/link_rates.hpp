// How fast messages travel within a host and between hosts, with all processes sending at once, as
// in the exchange of rows. It knows no models.
#pragma once

#include <optional>

#include "comm/comm.hpp"
#include "plan/machine.hpp"

namespace switchyard {

// From MPI_Alltoallv of small and of large messages among the processes of each host; the slowest
// host counts. Unset where each host has one process. Collective.
std::optional<LinkTimes> measure_inside_host(const Comm& comm);

// The same where every process exchanges messages with one of another host; the rate is that of all
// processes of a host together. Unset on a single host. Collective.
std::optional<LinkTimes> measure_between_hosts(const Comm& comm);

}  // namespace switchyard
