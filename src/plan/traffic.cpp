#include "plan/traffic.hpp"

#include <algorithm>
#include <cmath>

#include "comm/canonical.hpp"
#include "plan/capacity.hpp"
#include "plan/parameters.hpp"

namespace switchyard {
namespace {

constexpr std::int64_t gradient_bytes = sizeof(float);

// The share of experts that the host of virtual rank v does not own, and so of v's rows that are
// sent.
double away_share(const Layout& layout, VirtualRank v) {
  const Rank host = layout.host(v);
  std::int64_t away = 0;
  for (ExpertId e(0); e.value < layout.experts(); ++e) {
    away += layout.owner(e, layout.group(v)) != host;
  }
  return static_cast<double>(away) / layout.experts();
}

// Bytes sent by process j of `processes`, which holds `nodes` nodes of the tree.
std::int64_t reduction_bytes(std::int64_t elements, std::int64_t processes, std::int64_t j,
                             std::int64_t nodes) {
  const std::int64_t piece = (j + 1) * elements / processes - j * elements / processes;
  return gradient_bytes * (nodes * (elements - piece) + (processes - 1) * piece);
}

std::int64_t nodes_of(std::int64_t first, std::int64_t last, std::int64_t leaves) {
  return static_cast<std::int64_t>(cover(first, last, leaves).size());
}

}  // namespace

std::int64_t ExchangeTraffic::bytes_of_transfer() const {
  return std::llround(rows * static_cast<double>(row_bytes));
}

ExchangeTraffic plan_exchange(const ModelConfig& config, const Layout& layout,
                              const StepShape& shape, bool decoder) {
  const CapacityPlan capacity = plan_capacity(config, layout, shape, decoder);
  ExchangeTraffic traffic;
  traffic.row_bytes = config.d_model * config.input_bytes();
  traffic.transfers = config.transfers();
  for (Rank p(0); p.value < layout.processes(); ++p) {
    double rows = 0;
    for (const VirtualRank v : layout.hosted(p)) rows += capacity.rows * away_share(layout, v);
    traffic.rows += rows;
    traffic.busiest_rows = std::max(traffic.busiest_rows, rows);
  }
  return traffic;
}

ReductionTraffic plan_reduction(const ModelConfig& config, const Layout& layout, Rank p) {
  const ParameterCount count = count_parameters(config);
  ReductionTraffic traffic;
  const Interval<VirtualRank> hosted = layout.hosted(p);
  traffic.dense_bytes =
      reduction_bytes(count.dense(), layout.processes(), p.value,
                      nodes_of(hosted.first.value, hosted.last.value, layout.virtual_ranks()));
  if (layout.experts() == 0) return traffic;
  // Processes that hold the same experts are at the same position of their groups.
  const Interval<GroupId> groups = layout.groups_of(p);
  const std::int64_t holders = layout.groups() / groups.size();
  const std::int64_t elements = count.experts / layout.experts() * layout.owned_experts(p).size();
  traffic.expert_bytes =
      reduction_bytes(elements, holders, groups.first.value / groups.size(),
                      nodes_of(groups.first.value, groups.last.value, layout.groups()));
  return traffic;
}

}  // namespace switchyard
