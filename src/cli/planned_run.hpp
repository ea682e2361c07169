// What `describe` prints of a run's steps: messages and bytes of a process and of a host, seconds
// by phase, hours, the choice of replica groups, and other numbers of processes. plan/ computes all
// of it.
#pragma once

#include <optional>
#include <ostream>
#include <vector>

#include "config/settings.hpp"
#include "plan/scaling.hpp"

namespace switchyard {

PlannedRun planned_run(const Settings& settings, const Layout& layout, std::int64_t hosts,
                       double imbalance);

// Messages and bytes per process and per host.
void print_job_traffic(std::ostream& out, const PlannedRun& run);

struct RunLength {
  std::int64_t steps = 0;
  std::optional<std::int64_t> rows_of_data;  // of one epoch, where the data says so
};

// Seconds by phase, hours and epochs, and what the prediction does not know.
void print_step_time(std::ostream& out, const PlannedRun& run, const Machine& machine,
                     const RunLength& length);
void print_replicas(std::ostream& out, const PlannedRun& run,
                    const std::optional<Machine>& machine);
void print_scaling(std::ostream& out, const std::vector<ScalingRow>& rows, const PlannedRun& run);

}  // namespace switchyard
