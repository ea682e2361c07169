#include "plan/step_time.hpp"

#include <algorithm>
#include <cmath>

#include "plan/capacity.hpp"
#include "plan/parameters.hpp"
#include "plan/routing_skew.hpp"

namespace switchyard {
namespace {

// Of process and host, whichever takes longer.
double seconds_of(const Sent& process, const Sent& host, const Machine& machine) {
  double seconds = 0;
  if (machine.inside_host) {
    seconds += (process.messages - process.far_messages) * machine.inside_host->message +
               (process.bytes - process.far_bytes) / machine.inside_host->rate;
  }
  if (machine.between_hosts) {
    seconds += process.far_messages * machine.between_hosts->message +
               host.far_bytes / machine.between_hosts->rate;
  }
  return seconds;
}

// The most rows that an expert computes, relative to the mean.
double capacity_over_mean(const PlannedRun& run) {
  double most = 0;
  for (const bool decoder : {false, true}) {
    if (run.config.sparse_layers(decoder) == 0) continue;
    const CapacityPlan plan = plan_capacity(run.config, run.layout, run.shape, decoder);
    const double mean = plan.rows / static_cast<double>(run.layout.experts());
    if (plan.by_row || mean == 0) continue;
    most = std::max(most, static_cast<double>(plan.capacity) / mean);
  }
  return std::max(most, 1.0);
}

double load_of_busiest(const PlannedRun& run) {
  if (run.config.sparse_layers() == 0) return 1;
  const std::int64_t owners = run.layout.peers(Rank{0}).size();
  return busiest_owner(run.layout.experts(), owners, run.imbalance, capacity_over_mean(run));
}

// Additions of a sum read two operands and write one.
constexpr double bytes_of_addition = 12;

double optimizer_seconds(const PlannedRun& run, const StepWork& work, const Machine& machine) {
  switch (run.rule) {
    case Rule::adafactor:
      return work.parameters * machine.sweeps.adafactor;
    case Rule::adamw:
      return work.parameters * machine.sweeps.adamw;
    case Rule::sgd:
      break;
  }
  constexpr double bytes = 20;  // gradient, direction and weight are read, the latter two written
  return work.parameters * bytes / machine.memory_rate;
}

}  // namespace

double product_seconds(const std::vector<Products>& products, const ProductTable& table) {
  double seconds = 0;
  for (const Products& p : products)
    if (p.operations() > 0) seconds += p.operations() / table.rate(p.m, p.n, p.k);
  return seconds;
}

std::optional<std::string> missing_constants(const PlannedRun& run, const Machine& machine) {
  const HostLayout& placement = run.placement;
  if (placement.most_on_a_host() > 1 && !machine.inside_host)
    return "latency and rate between processes of a host (inside_host)";
  if (placement.hosts > 1 && !machine.between_hosts)
    return "latency and rate between two hosts (between_hosts)";
  return std::nullopt;
}

StepTime plan_step_time(const PlannedRun& run, const Machine& machine) {
  return plan_step_time(run, machine, plan_job_traffic(run.traffic_input()));
}

StepTime plan_step_time(const PlannedRun& run, const Machine& machine, const JobTraffic& traffic) {
  const StepWork work = plan_step_work(run.config, run.layout, run.shape, load_of_busiest(run));
  const ProductTable& table =
      run.config.precision == Precision::bfloat16 ? machine.bfloat16 : machine.float32;
  const SweepTimes& sweeps = machine.sweeps;
  StepTime time;
  time.embedding = work.embedding_elements * sweeps.embedding;
  time.attention = product_seconds(work.attention, table) +
                   work.attention_elements * sweeps.attention + work.scores * sweeps.scores;
  time.feed_forward =
      product_seconds(work.feed_forward, table) + work.feed_forward_elements * sweeps.feed_forward;
  time.routing = product_seconds(work.routing, machine.float32) + work.choices * sweeps.choices +
                 work.row_elements * sweeps.rows;
  time.experts = product_seconds(work.experts, table) + work.expert_elements * sweeps.experts;
  time.logits = product_seconds(work.logits, table) + work.logit_elements * sweeps.logits;
  time.exchange = seconds_of(traffic.process.exchange(), traffic.host.exchange(), machine);
  time.optimizer = optimizer_seconds(run, work, machine);
  time.besides = sweeps.step;

  // The halves of a sum add as many elements as they send.
  const Sent sums = traffic.process.gradients();
  const double additions = work.leaf_elements + sums.bytes / 4 / 2;
  const double dense =
      seconds_of(traffic.process.dense_gradients, traffic.host.dense_gradients, machine);
  const double experts =
      seconds_of(traffic.process.expert_gradients, traffic.host.expert_gradients, machine);
  time.reduction =
      dense + experts +
      (additions * bytes_of_addition + work.gradient_elements * 4) / machine.memory_rate;
  if (run.overlap_reduction) {
    const ParameterCount count = count_parameters(run.config);
    const double early =
        1 - static_cast<double>(count.embedding) / static_cast<double>(count.dense());
    const double backward = (time.attention + time.feed_forward + time.experts) * 2 / 3 /
                            static_cast<double>(run.shape.micro_steps);
    time.overlapped = std::min(machine.overlap_gain * dense * early, backward);
    time.reduction -= time.overlapped;
  }
  return time;
}

}  // namespace switchyard
