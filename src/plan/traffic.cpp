#include "plan/traffic.hpp"

#include <algorithm>
#include <cmath>

#include "comm/canonical.hpp"
#include "comm/piece_gather.hpp"
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
  const SumTraffic dense = traffic_of_sum({layout.virtual_ranks(), layout.processes()}, p,
                                          count.dense(), gradient_bytes);
  ReductionTraffic traffic{.dense_bytes = gradient_bytes * dense.elements,
                           .messages = dense.messages};
  if (layout.experts() == 0 || layout.groups() == 1) return traffic;
  // Processes that hold the same experts are at the same position of their groups.
  const Interval<GroupId> groups = layout.groups_of(p);
  const LeafPartition holders(layout.groups(), layout.groups() / groups.size());
  const std::int64_t elements = count.experts / layout.experts() * layout.owned_experts(p).size();
  const SumTraffic experts =
      traffic_of_sum(holders, holders.owner(groups.first.value), elements, gradient_bytes);
  traffic.expert_bytes = gradient_bytes * experts.elements;
  traffic.messages += experts.messages;
  return traffic;
}

SumTraffic plan_weights(const ModelConfig& config, const Layout& layout, Rank p) {
  return traffic_of_gather(Ownership(dense_shapes(config), layout.processes()), p);
}

}  // namespace switchyard
