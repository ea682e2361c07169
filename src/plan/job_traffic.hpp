// What processes and hosts send in a training step: messages and bytes, and which of them leave the
// host. Pure arithmetic on the layout; uniform routing, as in plan/traffic.hpp. A message counts
// where it is not empty, and where every source has rows for every owner of experts.
//
// Per sparse layer and micro-step the processes of a replica group call for each other
// * once to announce how many rows will come,
// * once with the rows' token indices where hidden units are dropped (they key the masks),
// * ModelConfig::transfers times with rows, alternately to the experts and back.
// Directly, each is one MPI_Alltoallv: R - 1 messages from each process of a group of R, or as many
// as there are owners of experts. By two levels (comm/row_transport.hpp), a process on a host with
// n processes of the group sends at most n - 1 to its relays, one to each host that it relays to,
// and n - 1 as a relay. The sums of gradients follow comm/sum_schedule.hpp. Not counted are the
// step's few reductions of figures: losses, counts, the norm.
#pragma once

#include <cstdint>

#include "model/config.hpp"
#include "plan/host_layout.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// far: of these, what goes to other hosts.
struct Sent {
  double messages = 0, bytes = 0;
  double far_messages = 0, far_bytes = 0;

  void add(const Sent& other, double times = 1);
};

struct StepTraffic {
  Sent announcements;  // of rows, and the indices that key dropout
  Sent rows;
  Sent dense_gradients, expert_gradients;

  Sent exchange() const;
  Sent gradients() const;
  Sent all() const;
};

struct TrafficInput {
  const ModelConfig& config;
  const Layout& layout;
  StepShape shape;
  HostLayout placement;  // of the layout's processes
  bool two_level = false;
};

// Of process p in one step.
StepTraffic plan_step_traffic(const TrafficInput& input, Rank p);

// The exchange alone, whose formula is short: the gradients' sums are those of a schedule.
StepTraffic plan_exchange_traffic(const TrafficInput& input, Rank p);

struct JobTraffic {
  StepTraffic process;  // each figure is that of the process for which it is largest
  StepTraffic host;     // the same of a host: messages and bytes of its processes together
};

// Beyond 64 processes, sums of gradients are computed for some of the hosts and some of their
// processes, which share out a vector nearly equally.
JobTraffic plan_job_traffic(const TrafficInput& input);

}  // namespace switchyard
