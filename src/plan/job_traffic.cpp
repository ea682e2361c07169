#include "plan/job_traffic.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "comm/canonical.hpp"
#include "plan/capacity.hpp"
#include "plan/parameters.hpp"

namespace switchyard {
namespace {

constexpr double bytes_of_index = 8, bytes_of_gradient = 4;

// What the processes of a group have to send or to receive, in parts that a message's size is
// proportional to: `count` of them have any.
struct Parts {
  double sum = 0;
  std::int64_t count = 0;
};

// One exchange among the processes of a group: x sends y a message of a(x) b(y) units.
class Exchange {
 public:
  enum class Kind { one, ranks, experts };  // of each process: 1, h, or its experts

  Exchange(const TrafficInput& input, Rank p, Kind a, Kind b)
      : layout_(input.layout), placement_(input.placement), self_(p), a_(a), b_(b) {
    peers_ = layout_.peers(p);
    beside_ = common(placement_.beside(p), peers_);
  }

  // In units. Collectives send a process's message to itself by no wire.
  Sent direct() const {
    const Parts own = of(a_, only(self_)), all = of(b_, peers_), here = of(b_, beside_);
    const Parts back = of(b_, only(self_));
    Sent sent;
    if (own.count == 0) return sent;
    sent.messages = static_cast<double>(all.count - back.count);
    sent.far_messages = static_cast<double>(all.count - here.count);
    sent.bytes = own.sum * (all.sum - back.sum);
    sent.far_bytes = own.sum * (all.sum - here.sum);
    return sent;
  }

  Sent two_level() const {
    const std::int64_t first = placement_.host_of(peers_.first);
    const std::int64_t last = placement_.host_of(Rank{peers_.last.value - 1});
    if (first == last) return direct();
    Sent sent;
    const Parts own = of(a_, only(self_)), here = of(a_, beside_);
    const std::int64_t n = beside_.size(), own_host = placement_.host_of(self_) - first;
    // Parts of the hosts that each process here relays to.
    std::vector<Parts> to(static_cast<std::size_t>(n)), from(static_cast<std::size_t>(n));
    for (std::int64_t h = 0; h <= last - first; ++h) {
      if (h == own_host) continue;
      const Interval<Rank> there = common(placement_.processes_of(first + h), peers_);
      const Parts receive = of(b_, there), send = of(a_, there);
      add(to[static_cast<std::size_t>(h % n)], receive);
      add(from[static_cast<std::size_t>(h % n)], send);
      if (h % n != self_.value - beside_.first.value || here.count == 0 || receive.count == 0)
        continue;
      ++sent.messages, ++sent.far_messages;
      sent.bytes += here.sum * receive.sum;
      sent.far_bytes += here.sum * receive.sum;
    }
    const Parts& relayed = from[static_cast<std::size_t>(self_.value - beside_.first.value)];
    for (const Rank local : beside_) {
      if (local == self_) continue;
      const Parts its = of(b_, only(local)),
                  onward = to[static_cast<std::size_t>(local.value - beside_.first.value)];
      sent.messages += own.count > 0 && its.count + onward.count > 0;
      sent.bytes += own.sum * (its.sum + onward.sum);
      sent.messages += its.count > 0 && relayed.count > 0;
      sent.bytes += its.sum * relayed.sum;
    }
    return sent;
  }

 private:
  static Interval<Rank> only(Rank p) { return {p, Rank{p.value + 1}}; }
  static Interval<Rank> common(Interval<Rank> x, Interval<Rank> y) {
    return {std::max(x.first, y.first), std::min(x.last, y.last)};
  }
  static void add(Parts& sum, const Parts& part) {
    sum.sum += part.sum;
    sum.count += part.count;
  }

  // Consecutive processes host consecutive virtual ranks, and own consecutive experts.
  Parts of(Kind kind, Interval<Rank> processes) const {
    const std::int64_t size = processes.size();
    if (size <= 0) return {};
    const Rank last{processes.last.value - 1};
    switch (kind) {
      case Kind::one:
        return {static_cast<double>(size), size};
      case Kind::ranks:
        return {static_cast<double>(layout_.hosted(last).last.value -
                                    layout_.hosted(processes.first).first.value),
                size};
      case Kind::experts:
        break;
    }
    const std::int64_t experts =
        layout_.owned_experts(last).last.value - layout_.owned_experts(processes.first).first.value;
    return {static_cast<double>(experts), std::min(size, experts)};
  }

  const Layout& layout_;
  HostLayout placement_;
  Rank self_;
  Kind a_, b_;
  Interval<Rank> peers_{}, beside_{};
};

Sent scaled(Sent sent, double calls, double unit_bytes) {
  sent.messages *= calls;
  sent.far_messages *= calls;
  sent.bytes *= calls * unit_bytes;
  sent.far_bytes *= calls * unit_bytes;
  return sent;
}

Sent exchange(const TrafficInput& input, Rank p, Exchange::Kind a, Exchange::Kind b) {
  const Exchange exchange(input, p, a, b);
  return input.two_level ? exchange.two_level() : exchange.direct();
}

// The sparse layers of a stack, as all processes have them.
struct Layers {
  double times = 0;  // layers x micro-steps
  double rows = 0;   // a virtual rank's for one expert, in one layer and micro-step
};
using Stacks = std::array<Layers, 2>;

Stacks sparse_stacks(const TrafficInput& input) {
  Stacks stacks;
  for (const bool decoder : {false, true}) {
    const int layers = input.config.sparse_layers(decoder);
    if (layers == 0) continue;
    const CapacityPlan capacity = plan_capacity(input.config, input.layout, input.shape, decoder);
    stacks[decoder] = {static_cast<double>(layers * input.shape.micro_steps),
                       capacity.rows / static_cast<double>(input.layout.experts())};
  }
  return stacks;
}

void add_layers(const TrafficInput& input, Rank p, const Layers& layers, StepTraffic& traffic) {
  using enum Exchange::Kind;
  const ModelConfig& config = input.config;
  const auto [times, rows] = layers;
  const double row_bytes = static_cast<double>(config.d_model * config.input_bytes());
  const double each_way = times * static_cast<double>(config.transfers()) / 2;
  const Sent to = exchange(input, p, ranks, experts), back = exchange(input, p, experts, ranks);
  traffic.rows.add(scaled(to, each_way, rows * row_bytes));
  traffic.rows.add(scaled(back, each_way, rows * row_bytes));
  // A message holds the number of its rows, and one for each virtual rank and expert.
  Sent counts = scaled(exchange(input, p, one, one), times, bytes_of_index);
  const Sent segments = scaled(to, times, bytes_of_index);
  counts.bytes += segments.bytes;
  counts.far_bytes += segments.far_bytes;
  traffic.announcements.add(counts);
  if (config.moe.expert_dropout_rate > 0)
    traffic.announcements.add(scaled(to, times, rows * bytes_of_index));
}

Sent sent(const SumTraffic& sum) {
  return {static_cast<double>(sum.messages), bytes_of_gradient * static_cast<double>(sum.elements),
          static_cast<double>(sum.far_messages),
          bytes_of_gradient * static_cast<double>(sum.far_elements)};
}

void add_sums(const TrafficInput& input, Rank p, StepTraffic& traffic) {
  const Layout& layout = input.layout;
  const HostLayout& placement = input.placement;
  const ParameterCount count = count_parameters(input.config);
  const std::int64_t host = placement.host_of(p);
  traffic.dense_gradients =
      sent(traffic_of_sum({layout.virtual_ranks(), layout.processes()}, p, count.dense(),
                          sizeof(float), [&](Rank q) { return placement.host_of(q) != host; }));
  if (layout.experts() == 0 || layout.groups() == 1) return;
  // Processes that hold the same experts are at the same position of their groups.
  const Interval<GroupId> groups = layout.groups_of(p);
  const LeafPartition holders(layout.groups(), layout.groups() / groups.size());
  const std::int64_t position = p.value - layout.peers(p).first.value;
  const auto is_far = [&](Rank holder) {
    const GroupId group{holder.value * groups.size()};
    return placement.host_of(Rank{layout.processes_of(group).first.value + position}) != host;
  };
  const std::int64_t elements = count.experts / layout.experts() * layout.owned_experts(p).size();
  traffic.expert_gradients = sent(
      traffic_of_sum(holders, holders.owner(groups.first.value), elements, sizeof(float), is_far));
}

StepTraffic exchange_of(const TrafficInput& input, Rank p, const Stacks& stacks) {
  StepTraffic traffic;
  for (const Layers& layers : stacks)
    if (layers.times > 0) add_layers(input, p, layers, traffic);
  return traffic;
}

// Element-wise.
template <class Join>
void join(Sent& into, const Sent& other, Join join_two) {
  into.messages = join_two(into.messages, other.messages);
  into.bytes = join_two(into.bytes, other.bytes);
  into.far_messages = join_two(into.far_messages, other.far_messages);
  into.far_bytes = join_two(into.far_bytes, other.far_bytes);
}
template <class Join>
void join(StepTraffic& into, const StepTraffic& other, Join join_two) {
  join(into.announcements, other.announcements, join_two);
  join(into.rows, other.rows, join_two);
  join(into.dense_gradients, other.dense_gradients, join_two);
  join(into.expert_gradients, other.expert_gradients, join_two);
}
void raise(StepTraffic& into, const StepTraffic& other) {
  join(into, other, [](double x, double y) { return std::max(x, y); });
}

// All of [first, last), or `most` of them, evenly spread.
std::vector<std::int64_t> some(std::int64_t first, std::int64_t last, std::int64_t most) {
  const std::int64_t count = last - first, taken = std::min(count, most);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < taken; ++i)
    chosen.push_back(taken == count ? first + i : first + i * (count - 1) / (taken - 1));
  return chosen;
}

void add_exchange_of_all(const TrafficInput& input, JobTraffic& job) {
  const Stacks stacks = sparse_stacks(input);
  for (std::int64_t host = 0; host < input.placement.hosts; ++host) {
    StepTraffic together;
    for (const Rank p : input.placement.processes_of(host)) {
      const StepTraffic own = exchange_of(input, p, stacks);
      raise(job.process, own);
      join(together, own, std::plus<double>());
    }
    raise(job.host, together);
  }
}

}  // namespace

void Sent::add(const Sent& other, double times) {
  messages += times * other.messages;
  bytes += times * other.bytes;
  far_messages += times * other.far_messages;
  far_bytes += times * other.far_bytes;
}

Sent StepTraffic::exchange() const {
  Sent sum = announcements;
  sum.add(rows);
  return sum;
}
Sent StepTraffic::gradients() const {
  Sent sum = dense_gradients;
  sum.add(expert_gradients);
  return sum;
}
Sent StepTraffic::all() const {
  Sent sum = exchange();
  sum.add(gradients());
  return sum;
}

StepTraffic plan_exchange_traffic(const TrafficInput& input, Rank p) {
  return exchange_of(input, p, sparse_stacks(input));
}

StepTraffic plan_step_traffic(const TrafficInput& input, Rank p) {
  StepTraffic traffic = plan_exchange_traffic(input, p);
  add_sums(input, p, traffic);
  return traffic;
}

JobTraffic plan_job_traffic(const TrafficInput& input) {
  JobTraffic job;
  if (input.config.sparse_layers() > 0) add_exchange_of_all(input, job);
  const HostLayout& placement = input.placement;
  const bool all = placement.processes <= 64;
  for (const std::int64_t host : some(0, placement.hosts, all ? placement.hosts : 4)) {
    const Interval<Rank> here = placement.processes_of(host);
    const std::vector<std::int64_t> ranks =
        some(here.first.value, here.last.value, all ? here.size() : 4);
    StepTraffic together;
    for (const std::int64_t p : ranks) {
      StepTraffic own;
      add_sums(input, Rank{p}, own);
      raise(job.process, own);
      join(together, own, std::plus<double>());
    }
    const double each = static_cast<double>(here.size()) / static_cast<double>(ranks.size());
    join(together, together, [&](double sum, double) { return sum * each; });
    raise(job.host, together);
  }
  return job;
}

}  // namespace switchyard
