// The same run on other numbers of processes, and with other numbers of replica groups: what
// plan/step_time says of each. Pure arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "plan/step_time.hpp"

namespace switchyard {

inline constexpr std::int64_t most_planned_processes = 65'536;

struct ScalingRow {
  std::int64_t processes = 1, hosts = 1, virtual_ranks = 1, rows = 1;  // rows: B
  // The batch grows with the processes, beyond what the run's own can be shared out to.
  bool weak = false;
  double host_bytes = 0;         // that leave the busiest host in a step
  std::optional<StepTime> time;  // unset where the constants do not suffice
};

// Strong scaling from one process to V, in powers of two and at V; then weak scaling with one
// virtual rank a process, each with as many rows as in the run. Hosts have as many processes as the
// run's fullest. Numbers of processes that the run's replica groups do not allow are left out.
// machine: unset for traffic alone.
std::vector<ScalingRow> plan_scaling(const PlannedRun& run, const std::optional<Machine>& machine,
                                     std::int64_t most = most_planned_processes);

struct ReplicaRow {
  int groups = 1;  // G
  double host_bytes = 0, process_bytes = 0;
  std::int64_t expert_parameters = 0;  // that a process holds
  std::optional<StepTime> time;
};

// Every G that the run's virtual ranks and processes allow, up to one group a process.
std::vector<ReplicaRow> plan_replicas(const PlannedRun& run, const std::optional<Machine>& machine);
// The quickest, or without times the one that sends least from a host; of equals the fewest copies.
const ReplicaRow& best_replicas(const std::vector<ReplicaRow>& rows);

}  // namespace switchyard
