// One outcome for all processes: work that may fail on some of them either succeeds on all or
// throws the same Error on all. It knows nothing of checkpoints.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/comm.hpp"

namespace switchyard {

// Runs `work` on every process. Where it throws on some of them, every process throws the Error of
// the lowest such rank, the only one that sends its reason. `work` must not call a collective.
// Collective.
void all_or_none(const Comm& comm, const std::function<void()>& work);

// The same for work with a result. Returns all results in rank order on process 0, where alone they
// are needed, and nothing elsewhere. Collective.
std::vector<std::string> together(const Comm& comm, const std::function<std::string()>& work);

// Like all_or_none, but processes of one host that see the same files do the work once: those with
// equal `view`. The Error names the host where there are several processes. Collective.
void once_per_view(const Comm& comm, const std::string& view, const std::function<void()>& work);

// Shares out `pieces` pieces of work over the processes of one host that see the same files, piece
// i to the i-th of them in turn; errors as in once_per_view. Returns whether this process is the
// first of those with its view, which may go on to act for them. Collective.
bool share_per_view(const Comm& comm, const std::string& view, int pieces,
                    const std::function<void(int piece)>& work);

// Runs `work` on process 0 alone; its result, or its Error, reaches every process. Collective.
std::string on_first(const Comm& comm, const std::function<std::string()>& work);

}  // namespace switchyard
