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
    // Of its groups' experts, it sends nothing to those that it owns itself.
    const std::int64_t away = layout.experts() - layout.owned_experts(p).size();
    const double rows = capacity.rows * static_cast<double>(layout.hosted(p).size() * away) /
                        static_cast<double>(layout.experts());
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
