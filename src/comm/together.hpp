// One outcome for all processes: work that may fail on some of them either succeeds everywhere or
// throws everywhere, with the same words. It knows nothing of checkpoints.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/comm.hpp"

namespace switchyard {

// Runs `work` on every process and returns all results in rank order. Where it throws on any, every
// process throws the lowest such rank's Error. `work` may call no collective. Collective.
std::vector<std::string> together(const Comm& comm, const std::function<std::string()>& work);
void all_or_none(const Comm& comm, const std::function<void()>& work);

// The same where the processes of a host that see the same do the work once: those whose `view` is
// the same text. The Error says on which host, where there are several processes. Collective.
void once_per_view(const Comm& comm, const std::string& view, const std::function<void()>& work);

// The same where process 0 alone works: its result, or its Error, on every process. Collective.
std::string on_first(const Comm& comm, const std::function<std::string()>& work);

}  // namespace switchyard
