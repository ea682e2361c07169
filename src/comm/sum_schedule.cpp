#include "comm/sum_schedule.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace switchyard {
namespace {

// Vectors up to this size go by the tree: a message's latency then exceeds its transfer.
constexpr std::int64_t short_bytes = 16 << 10;
// The direct schedule cuts no piece smaller than this.
constexpr std::int64_t least_piece_bytes = 64 << 10;

bool is_power_of_two(std::int64_t n) { return std::has_single_bit(static_cast<std::uint64_t>(n)); }

// The summing half of the tree schedule of one process.
class TreeWalk {
 public:
  TreeWalk(const LeafPartition& partition, Rank self, SumSchedule& schedule)
      : partition_(partition), self_(self), own_(cover(partition, self)), schedule_(schedule) {
    schedule_.nodes = static_cast<int>(own_.size());
  }

  // From left to right: completes each node that begins with leaves of this process, as far as it
  // is a left child, and sends it to the owner of its left sibling.
  void run() {
    std::int64_t next_leaf = partition_.first(self_);
    while (next_leaf < partition_.last(self_)) {
      TreeNode top = own_node_at(next_leaf);
      while (!top.is_root(partition_.leaves()) && top.index % 2 == 0) top = top.parent();
      const int slot = complete(top);
      if (!top.is_root(partition_.leaves()))
        schedule_.rounds.push_back({{{owner(top.parent()), slot, all}}, {}, {}});
      next_leaf = (top.index + 1) << top.level;
    }
  }

 private:
  static constexpr SumSchedule::Pieces all{0, 1};

  Rank owner(TreeNode node) const { return partition_.owner(node.first_leaf()); }
  TreeNode own_node_at(std::int64_t leaf) const {
    return *std::ranges::find(own_, leaf, &TreeNode::first_leaf);
  }

  // Returns the slot that holds the value of `node`, whose first leaf is this process's.
  int complete(TreeNode node) {
    if (const auto own = std::ranges::find(own_, node); own != own_.end())
      return static_cast<int>(own - own_.begin());
    const TreeNode left{node.level - 1, 2 * node.index}, right{node.level - 1, 2 * node.index + 1};
    const int sum = complete(left);
    if (right.first_leaf() >= partition_.leaves()) return sum;
    if (owner(right) == self_) {
      const int term = complete(right);
      schedule_.rounds.push_back({{}, {}, {{sum, term, sum, all}}});
    } else {
      const int term = schedule_.nodes + static_cast<int>(schedule_.rooms.size());
      schedule_.rooms.push_back(all);
      schedule_.rounds.push_back({{}, {{owner(right), term, all}}, {{sum, term, sum, all}}});
    }
    return sum;
  }

  const LeafPartition& partition_;
  Rank self_;
  Buffer<TreeNode> own_;
  SumSchedule& schedule_;
};

// Sends the sum from process 0 to all along a binomial tree: process p has it from p without its
// lowest set bit.
void add_broadcast(std::int64_t processes, Rank self, SumSchedule& schedule) {
  const auto number = static_cast<std::uint64_t>(self.value);
  const std::int64_t lowest =
      number == 0 ? static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(processes)))
                  : std::int64_t{1} << std::countr_zero(number);
  if (self.value > 0) schedule.rounds.push_back({{}, {{Rank{self.value - lowest}, 0, {0, 1}}}, {}});
  SumSchedule::Round onward;
  for (std::int64_t distance = lowest / 2; distance > 0; distance /= 2)
    if (self.value + distance < processes)
      onward.sends.push_back({Rank{self.value + distance}, 0, {0, 1}});
  if (!onward.sends.empty()) schedule.rounds.push_back(std::move(onward));
}

}  // namespace

SumSchedule tree_schedule(const LeafPartition& partition, Rank self) {
  SumSchedule schedule;
  TreeWalk(partition, self, schedule).run();
  schedule.summing_rounds = schedule.rounds.size();
  schedule.own = {0, self.value == 0 ? 1 : 0};
  add_broadcast(partition.processes(), self, schedule);
  return schedule;
}

SumSchedule halving_schedule(const LeafPartition& partition, Rank self) {
  const std::int64_t processes = partition.processes();
  assert(is_power_of_two(processes) && is_power_of_two(partition.leaves()));
  SumSchedule schedule;
  schedule.pieces = processes;
  constexpr int sum = 0, room = 1;
  SumSchedule::Pieces held{0, processes};
  for (std::int64_t distance = 1; distance < processes; distance *= 2) {
    const Rank partner{self.value ^ distance};
    const std::int64_t middle = (held.first + held.last) / 2;
    SumSchedule::Pieces kept{held.first, middle}, given{middle, held.last};
    const bool is_left = self < partner;
    if (!is_left) std::swap(kept, given);
    if (distance == 1) schedule.rooms.push_back(kept);
    schedule.rounds.push_back({{{partner, sum, given}},
                               {{partner, room, kept}},
                               {{is_left ? sum : room, is_left ? room : sum, sum, kept}}});
    held = kept;
  }
  schedule.summing_rounds = schedule.rounds.size();
  schedule.own = held;
  for (std::int64_t distance = processes / 2; distance > 0; distance /= 2) {
    const Rank partner{self.value ^ distance};
    const std::int64_t width = held.last - held.first;
    const SumSchedule::Pieces missing = self < partner
                                            ? SumSchedule::Pieces{held.last, held.last + width}
                                            : SumSchedule::Pieces{held.first - width, held.first};
    schedule.rounds.push_back({{{partner, sum, held}}, {{partner, sum, missing}}, {}});
    held = {std::min(held.first, missing.first), std::max(held.last, missing.last)};
  }
  return schedule;
}

SumSchedule direct_schedule(const LeafPartition& partition, Rank self, std::int64_t pieces) {
  const std::int64_t processes = partition.processes();
  assert(1 <= pieces && pieces <= processes);
  SumSchedule schedule;
  schedule.pieces = pieces;
  schedule.nodes = static_cast<int>(cover(partition, self).size());
  if (self.value < pieces) schedule.own = {self.value, self.value + 1};
  const auto piece_of = [](Rank p) { return SumSchedule::Pieces{p.value, p.value + 1}; };

  // Sends the nodes' pieces, and adds up what arrives in the tree's order.
  SumSchedule::Round summing;
  TreeFold fold(partition.leaves());
  Buffer<int> slots;
  const auto join = [&] {
    summing.additions.push_back({slots.end()[-2], slots.end()[-1], slots.end()[-2], schedule.own});
    slots.pop_back();
  };
  for (Rank p{0}; p.value < processes; ++p) {
    const Buffer<TreeNode> nodes = cover(partition, p);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      int slot = static_cast<int>(i);
      if (p != self) {
        slot = schedule.nodes + static_cast<int>(schedule.rooms.size());
        if (schedule.own.last > 0) {
          schedule.rooms.push_back(schedule.own);
          summing.receives.push_back({p, slot, schedule.own});
        }
      }
      slots.push_back(slot);
      fold.push(nodes[i], join);
    }
    if (p == self || p.value >= pieces) continue;
    for (int slot = 0; slot < schedule.nodes; ++slot)
      summing.sends.push_back({p, slot, piece_of(p)});
  }
  if (schedule.own.last == 0) summing.additions.clear();
  if (!summing.additions.empty()) summing.additions.back().into = 0;
  schedule.rounds.push_back(std::move(summing));
  schedule.summing_rounds = 1;

  SumSchedule::Round gathering;
  for (Rank p{0}; p.value < processes; ++p) {
    if (p == self) continue;
    if (schedule.own.last > 0) gathering.sends.push_back({p, 0, schedule.own});
    if (p.value < pieces) gathering.receives.push_back({p, 0, piece_of(p)});
  }
  schedule.rounds.push_back(std::move(gathering));
  return schedule;
}

SumSchedule schedule_sum(const LeafPartition& partition, Rank self, std::int64_t bytes) {
  const std::int64_t processes = partition.processes();
  if (bytes <= short_bytes || processes == 1) return tree_schedule(partition, self);
  if (is_power_of_two(processes) && is_power_of_two(partition.leaves()))
    return halving_schedule(partition, self);
  if (processes <= most_balanced_processes) {
    const std::int64_t cuts = bytes / least_piece_bytes;
    return balanced_schedule(partition, self, std::clamp<std::int64_t>(cuts, 1, 4 * processes));
  }
  // With few pieces, their owners would receive more than the tree's nodes do.
  const std::int64_t pieces = std::min(processes, bytes / least_piece_bytes);
  const auto log = static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(processes)));
  if (pieces * log < processes) return tree_schedule(partition, self);
  return direct_schedule(partition, self, pieces);
}

std::int64_t first_element(std::int64_t piece, std::int64_t pieces, std::int64_t n) {
  return piece == pieces ? n : piece * n / pieces / 16 * 16;
}

void SumTraffic::add(const SumTraffic& other, std::int64_t times) {
  messages += times * other.messages;
  elements += times * other.elements;
  far_messages += times * other.far_messages;
  far_elements += times * other.far_elements;
}

SumTraffic traffic_of(const SumSchedule& schedule, std::int64_t n, const IsFar& is_far) {
  SumTraffic traffic;
  for (const SumSchedule::Round& round : schedule.rounds) {
    for (const SumSchedule::Message& send : round.sends) {
      const std::int64_t elements = first_element(send.pieces.last, schedule.pieces, n) -
                                    first_element(send.pieces.first, schedule.pieces, n);
      const bool far = is_far && is_far(send.peer);
      traffic.add({elements > 0, elements, far && elements > 0, far ? elements : 0});
    }
  }
  return traffic;
}

}  // namespace switchyard
