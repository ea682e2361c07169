#include "comm/layout.hpp"

#include <cassert>
#include <string>

#include "base/error.hpp"

namespace switchyard {
namespace {

// Divides `items` among `parts`: part p has the items [floor(p items / parts), floor((p+1) items /
// parts)).
std::int64_t first_item(std::int64_t part, std::int64_t items, std::int64_t parts) {
  return part * items / parts;
}

// The part that contains `item`: the largest p with p items / parts < item + 1.
std::int64_t part_of(std::int64_t item, std::int64_t items, std::int64_t parts) {
  return ((item + 1) * parts - 1) / items;
}

template <class Item>
Interval<Item> share(std::int64_t part, std::int64_t items, std::int64_t parts) {
  return {Item{first_item(part, items, parts)}, Item{first_item(part + 1, items, parts)}};
}

}  // namespace

Layout::Layout(int virtual_ranks, int processes, int groups, int experts)
    : virtual_ranks_(virtual_ranks), processes_(processes), groups_(groups), experts_(experts) {
  const std::string v = std::to_string(virtual_ranks), r = std::to_string(processes),
                    g = std::to_string(groups);
  if (virtual_ranks < 1)
    throw Error(ExitCode::usage, "parallel.virtual_ranks is " + v + " but must be 1 or more");
  if (experts < 0)
    throw Error(ExitCode::usage,
                "moe.num_experts is " + std::to_string(experts) + " but must be 0 or more");
  if (processes < 1 || processes > virtual_ranks)
    throw Error(
        ExitCode::usage,
        "this run has " + v + " virtual ranks but was started on " + r + " processes",
        "start it on 1 to " + v + " processes, or set parallel.virtual_ranks for a new run");
  if (groups < 1 || virtual_ranks % groups != 0)
    throw Error(ExitCode::usage, "parallel.expert_replicas is " + g +
                                     " but must divide parallel.virtual_ranks, " + v);
  if (groups > 1 && processes % groups != 0 && groups % processes != 0)
    throw Error(ExitCode::usage,
                "with parallel.expert_replicas " + g + ", " + r +
                    " processes cannot share out whole replica groups",
                "start it on a number of processes that divides " + g + " or is a multiple of it");
}

Interval<VirtualRank> Layout::hosted(Rank p) const {
  assert(0 <= p.value && p.value < processes_);
  return share<VirtualRank>(p.value, virtual_ranks_, processes_);
}

Rank Layout::host(VirtualRank v) const {
  assert(0 <= v.value && v.value < virtual_ranks_);
  return Rank{part_of(v.value, virtual_ranks_, processes_)};
}

GroupId Layout::group(VirtualRank v) const {
  assert(0 <= v.value && v.value < virtual_ranks_);
  return GroupId{part_of(v.value, virtual_ranks_, groups_)};
}

Interval<VirtualRank> Layout::members(GroupId g) const {
  assert(0 <= g.value && g.value < groups_);
  return share<VirtualRank>(g.value, virtual_ranks_, groups_);
}

// By the constructor's rule, a group's virtual ranks either fill whole processes or lie within one
// process.
Interval<Rank> Layout::processes_of(GroupId g) const {
  const Interval<VirtualRank> ranks = members(g);
  return {host(ranks.first), Rank{host(VirtualRank{ranks.last.value - 1}).value + 1}};
}

Interval<GroupId> Layout::groups_of(Rank p) const {
  const Interval<VirtualRank> ranks = hosted(p);
  return {group(ranks.first), GroupId{group(VirtualRank{ranks.last.value - 1}).value + 1}};
}

Rank Layout::owner(ExpertId e, GroupId g) const {
  assert(0 <= e.value && e.value < experts_);
  const Interval<Rank> processes = processes_of(g);
  return Rank{processes.first.value + part_of(e.value, experts_, processes.size())};
}

Interval<ExpertId> Layout::owned_experts(Rank p) const {
  const Interval<Rank> processes = processes_of(groups_of(p).first);
  return share<ExpertId>(p.value - processes.first.value, experts_, processes.size());
}

}  // namespace switchyard
