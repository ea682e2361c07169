// The balanced schedule of comm/sum_schedule.hpp: for every piece, where each node of the tree is
// added up.
#include <algorithm>
#include <cassert>
#include <cstdint>

#include "comm/sum_schedule.hpp"

namespace switchyard {
namespace {

// A node of the tree above the processes' own nodes, or one of those.
struct Entry {
  int left = -1, right = -1;  // entries; -1 for a process's own node
  std::int64_t process = 0;   // whose own node it is, and its slot there
  int slot = 0;
  // The fewest messages after which the node is at each process (Sankoff 1975); and of all.
  Buffer<std::int64_t> cost{};
  std::int64_t least = 0;

  bool is_own() const { return left < 0; }
};

// Costs of a node whose children have these: each child is there, or comes in one message.
void add_up_costs(const Entry& left, const Entry& right, Entry& parent) {
  for (std::size_t p = 0; p < left.cost.size(); ++p)
    parent.cost.push_back(std::min(left.cost[p], left.least + 1) +
                          std::min(right.cost[p], right.least + 1));
  parent.least = std::ranges::min(parent.cost);
}

// Children come before their parents; the root is the last.
Buffer<Entry> entries_of(const LeafPartition& partition) {
  constexpr std::int64_t never = 1 << 20;
  Buffer<Entry> entries;
  Buffer<int> stack;
  TreeFold fold(partition.leaves());
  const auto join = [&] {
    Entry parent{.left = stack.end()[-2], .right = stack.end()[-1]};
    add_up_costs(entries[static_cast<std::size_t>(parent.left)],
                 entries[static_cast<std::size_t>(parent.right)], parent);
    stack.pop_back();
    stack.back() = static_cast<int>(entries.size());
    entries.push_back(std::move(parent));
  };
  for (Rank p{0}; p.value < partition.processes(); ++p) {
    const Buffer<TreeNode> nodes = cover(partition, p);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      stack.push_back(static_cast<int>(entries.size()));
      Entry own{.process = p.value, .slot = static_cast<int>(i)};
      own.cost.assign(static_cast<std::size_t>(partition.processes()), never);
      own.cost[static_cast<std::size_t>(p.value)] = 0;
      entries.push_back(std::move(own));
      fold.push(nodes[i], join);
    }
  }
  return entries;
}

using Loads = Buffer<std::int64_t>;  // pieces that each process sends

// Of several ways that take the same number of messages: add up where the sum is wanted, or
// elsewhere and send it.
enum class Tie { stay, move };

// Where a node is added up whose sum is wanted at `wanted`, with the fewest messages; if it then
// has to be sent, by a process that sends little so far.
std::int64_t choose_place(const Entry& entry, std::int64_t wanted, Tie tie, const Loads& loads) {
  const std::int64_t there = entry.cost[static_cast<std::size_t>(wanted)];
  if (there <= entry.least || (there == entry.least + 1 && tie == Tie::stay)) return wanted;
  std::int64_t chosen = -1;
  for (std::int64_t p = 0; p < std::ssize(loads); ++p) {
    const auto i = static_cast<std::size_t>(p);
    if (entry.cost[i] == entry.least &&
        (chosen < 0 || loads[i] < loads[static_cast<std::size_t>(chosen)]))
      chosen = p;
  }
  return chosen;
}

// Where one piece of each entry is added up, if its sum is wanted at `root`. Adds to the loads.
Buffer<std::int64_t> choose_places(std::span<const Entry> entries, std::int64_t root, Tie tie,
                                   Loads& loads) {
  Buffer<std::int64_t> places(entries.size(), root);
  for (std::size_t i = entries.size(); i-- > 0;) {
    const Entry& entry = entries[i];
    if (entry.is_own()) continue;
    for (const int child : {entry.left, entry.right}) {
      const auto c = static_cast<std::size_t>(child);
      places[c] = choose_place(entries[c], places[i], tie, loads);
      if (places[c] != places[i]) ++loads[static_cast<std::size_t>(places[c])];
    }
  }
  loads[static_cast<std::size_t>(root)] += std::ssize(loads) - 1;  // the sum, to all others
  return places;
}

struct PlannedPiece {
  Buffer<std::int64_t> places;  // of each entry
  std::int64_t root() const { return places.back(); }
};

// Grows with what is sent, and faster with what the busiest processes send.
std::int64_t burden(const Loads& loads) {
  std::int64_t sum = 0;
  for (const std::int64_t load : loads) sum += load * load * load * load;
  return sum;
}

// Each piece goes where it burdens the processes least.
Buffer<PlannedPiece> plan_pieces(std::span<const Entry> entries, std::int64_t pieces,
                                 Loads& loads) {
  Buffer<PlannedPiece> plan;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    PlannedPiece best;
    Loads after;
    for (std::int64_t root = 0; root < std::ssize(loads); ++root) {
      for (const Tie tie : {Tie::stay, Tie::move}) {
        Loads tried = loads;
        Buffer<std::int64_t> places = choose_places(entries, root, tie, tried);
        if (!after.empty() && burden(after) <= burden(tried)) continue;
        best.places = std::move(places);
        after = std::move(tried);
      }
    }
    loads = std::move(after);
    plan.push_back(std::move(best));
  }
  return plan;
}

// What the process that sends most sends of a vector of 1 element.
double most_sent(const Loads& loads, std::int64_t pieces) {
  return static_cast<double>(std::ranges::max(loads)) / static_cast<double>(pieces);
}
double most_sent_directly(const LeafPartition& partition) {
  std::size_t nodes = 0;
  for (Rank p{0}; p.value < partition.processes(); ++p)
    nodes = std::max(nodes, cover(partition, p).size());
  const auto processes = static_cast<double>(partition.processes());
  return static_cast<double>(nodes + 1) * (processes - 1) / processes;
}

// Turns the plan into the rounds of one process.
class RoundWriter {
 public:
  RoundWriter(std::span<const Entry> entries, Rank self, SumSchedule& schedule)
      : entries_(entries), self_(self.value), schedule_(schedule) {}

  void add_up(const PlannedPiece& planned, std::int64_t piece) {
    const SumSchedule::Pieces range{piece, piece + 1};
    Buffer<std::size_t> ready(entries_.size(), 0);  // after so many rounds a node is added up
    Buffer<int> slots(entries_.size(), -1);         // where its value is, if it is here
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const Entry& entry = entries_[i];
      const bool here = planned.places[i] == self_;
      if (entry.is_own()) {
        if (here) slots[i] = entry.slot;
        continue;
      }
      for (const int child : {entry.left, entry.right}) {
        const auto c = static_cast<std::size_t>(child);
        const bool moves = planned.places[c] != planned.places[i];
        ready[i] = std::max(ready[i], ready[c] + (moves ? 1 : 0));
        if (!moves) continue;
        if (planned.places[c] == self_)
          round(ready[c]).sends.push_back({Rank{planned.places[i]}, slots[c], range});
        if (here) {
          slots[c] = schedule_.nodes + static_cast<int>(schedule_.rooms.size());
          schedule_.rooms.push_back(range);
          round(ready[c]).receives.push_back({Rank{planned.places[c]}, slots[c], range});
        }
      }
      if (!here) continue;
      const int left = slots[static_cast<std::size_t>(entry.left)],
                right = slots[static_cast<std::size_t>(entry.right)];
      slots[i] = i + 1 == entries_.size() ? 0 : left;
      assert(ready[i] > 0);
      round(ready[i] - 1).additions.push_back({left, right, slots[i], range});
    }
  }

  // The sums go from where they are to all.
  void gather(std::span<const PlannedPiece> plan, std::int64_t processes) {
    SumSchedule::Round gathering;
    for (std::int64_t first = 0, last = 0; first < std::ssize(plan); first = last) {
      const std::int64_t root = plan[static_cast<std::size_t>(first)].root();
      while (last < std::ssize(plan) && plan[static_cast<std::size_t>(last)].root() == root) ++last;
      if (root != self_) gathering.receives.push_back({Rank{root}, 0, {first, last}});
      for (Rank p{0}; root == self_ && p.value < processes; ++p)
        if (p.value != self_) gathering.sends.push_back({p, 0, {first, last}});
    }
    schedule_.rounds.push_back(std::move(gathering));
  }

 private:
  SumSchedule::Round& round(std::size_t i) {
    if (schedule_.rounds.size() <= i) schedule_.rounds.resize(i + 1);
    return schedule_.rounds[i];
  }

  std::span<const Entry> entries_;
  std::int64_t self_;
  SumSchedule& schedule_;
};

}  // namespace

SumSchedule balanced_schedule(const LeafPartition& partition, Rank self, std::int64_t pieces) {
  const std::int64_t processes = partition.processes();
  assert(2 <= processes && processes <= most_balanced_processes);
  const Buffer<Entry> entries = entries_of(partition);
  Loads loads(static_cast<std::size_t>(processes), 0);
  const Buffer<PlannedPiece> plan = plan_pieces(entries, pieces, loads);
  if (pieces >= processes && most_sent(loads, pieces) > most_sent_directly(partition))
    return direct_schedule(partition, self, processes);
  SumSchedule schedule;
  schedule.pieces = pieces;
  schedule.nodes = static_cast<int>(cover(partition, self).size());
  RoundWriter writer(entries, self, schedule);
  for (std::int64_t piece = 0; piece < pieces; ++piece)
    writer.add_up(plan[static_cast<std::size_t>(piece)], piece);
  schedule.summing_rounds = schedule.rounds.size();
  writer.gather(plan, processes);
  return schedule;
}

}  // namespace switchyard
