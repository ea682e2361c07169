// Where everything lives: virtual rank -> process, (expert, group) -> process. Pure arithmetic on
// V, R, G, E; knows nothing of MPI, tensors or time.
//
// Worked example, V = 4, R = 2, G = 1, E = 4: process 0 hosts v0 v1 and experts e0 e1, process 1
// hosts v2 v3 and e2 e3. With R = 3: v0 | v1 | v2 v3 and e0 | e1 | e2 e3.
#pragma once

#include <cstdint>

#include "base/index.hpp"

namespace switchyard {

class Layout {
 public:
  // V virtual ranks on R processes; E experts (0: a dense model), each replicated in G groups of
  // V/G consecutive virtual ranks. Throws Error(usage) when R > V, when G does not divide V, or
  // when G > 1 and neither R divides G nor G divides R.
  Layout(int virtual_ranks, int processes, int groups, int experts);

  int virtual_ranks() const { return virtual_ranks_; }
  int processes() const { return processes_; }
  int groups() const { return groups_; }
  int experts() const { return experts_; }

  Interval<VirtualRank> hosted(Rank p) const;  // [floor(pV/R), floor((p+1)V/R))
  Rank host(VirtualRank v) const;

  GroupId group(VirtualRank v) const;
  Interval<VirtualRank> members(GroupId g) const;
  Interval<Rank> processes_of(GroupId g) const;  // those that host g's virtual ranks
  // The processes with which p exchanges rows: those of its group, or itself where it hosts whole
  // groups.
  Interval<Rank> peers(Rank p) const { return processes_of(groups_of(p).first); }
  Interval<GroupId> groups_of(Rank p) const;       // those in which p may own experts
  Rank owner(ExpertId e, GroupId g) const;         // the process that computes e for tokens of g
  Interval<ExpertId> owned_experts(Rank p) const;  // the same set in each group of p; may be empty

 private:
  int virtual_ranks_, processes_, groups_, experts_;
};

}  // namespace switchyard
