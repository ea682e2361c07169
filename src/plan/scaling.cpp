#include "plan/scaling.hpp"

#include <algorithm>

#include "plan/parameters.hpp"

namespace switchyard {
namespace {

bool allows(std::int64_t processes, std::int64_t groups) {
  return groups == 1 || processes % groups == 0 || groups % processes == 0;
}

std::optional<StepTime> time_of(const PlannedRun& run, const std::optional<Machine>& machine,
                                const JobTraffic& traffic) {
  if (!machine || missing_constants(run, *machine)) return std::nullopt;
  return plan_step_time(run, *machine, traffic);
}

PlannedRun on(const PlannedRun& run, std::int64_t virtual_ranks, std::int64_t processes,
              std::int64_t groups) {
  const std::int64_t slots = run.placement.most_on_a_host();
  PlannedRun other = run;
  other.layout = Layout(static_cast<int>(virtual_ranks), static_cast<int>(processes),
                        static_cast<int>(groups), run.layout.experts());
  other.placement = {processes, (processes + slots - 1) / slots};
  other.shape.rows = run.shape.rows / run.layout.virtual_ranks() * virtual_ranks;
  return other;
}

}  // namespace

std::vector<ScalingRow> plan_scaling(const PlannedRun& run, const std::optional<Machine>& machine,
                                     std::int64_t most) {
  const std::int64_t V = run.layout.virtual_ranks(), groups = run.layout.groups();
  std::vector<std::int64_t> numbers;
  for (std::int64_t processes = 1; processes < V; processes *= 2) numbers.push_back(processes);
  for (std::int64_t processes = V; processes <= most; processes *= 2) numbers.push_back(processes);
  std::vector<ScalingRow> rows;
  for (const std::int64_t processes : numbers) {
    if (!allows(processes, groups)) continue;
    const PlannedRun other = on(run, std::max(V, processes), processes, groups);
    const JobTraffic traffic = plan_job_traffic(other.traffic_input());
    rows.push_back({.processes = processes,
                    .hosts = other.placement.hosts,
                    .virtual_ranks = other.layout.virtual_ranks(),
                    .rows = other.shape.rows,
                    .weak = processes > V,
                    .host_bytes = traffic.host.all().far_bytes,
                    .time = time_of(other, machine, traffic)});
  }
  return rows;
}

std::vector<ReplicaRow> plan_replicas(const PlannedRun& run,
                                      const std::optional<Machine>& machine) {
  const std::int64_t V = run.layout.virtual_ranks(), R = run.layout.processes();
  const std::int64_t experts = count_parameters(run.config).experts;
  std::vector<ReplicaRow> rows;
  for (std::int64_t groups = 1; groups <= R; ++groups) {
    if (V % groups != 0 || R % groups != 0) continue;
    PlannedRun other = run;
    other.layout = Layout(static_cast<int>(V), static_cast<int>(R), static_cast<int>(groups),
                          run.layout.experts());
    const JobTraffic traffic = plan_job_traffic(other.traffic_input());
    const std::int64_t owned = other.layout.owned_experts(Rank{R / groups - 1}).size();
    rows.push_back({.groups = static_cast<int>(groups),
                    .host_bytes = traffic.host.all().far_bytes,
                    .process_bytes = traffic.process.all().bytes,
                    .expert_parameters = experts / run.layout.experts() * owned,
                    .time = time_of(other, machine, traffic)});
  }
  return rows;
}

const ReplicaRow& best_replicas(const std::vector<ReplicaRow>& rows) {
  return *std::ranges::min_element(rows, {}, [](const ReplicaRow& row) {
    return row.time ? row.time->total() : row.host_bytes > 0 ? row.host_bytes : row.process_bytes;
  });
}

}  // namespace switchyard
