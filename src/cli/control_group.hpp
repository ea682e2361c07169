// The memory and processor time that control groups (cgroups) leave to this process. Every group
// from the process's own up to the root may set a limit, in version 1 and in version 2. It does not
// know what the limits are used for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace switchyard {

// Bytes: the minimum over the groups of the limit minus the usage, where droppable page cache does
// not count as used. nullopt where no group has a limit. `root` is prepended to every path, for
// tests.
std::optional<std::int64_t> memory_left_to_groups(const std::string& root = "");

// Processor time in cores, the minimum over the groups; nullopt where no group has a quota.
std::optional<double> processor_quota_of_groups(const std::string& root = "");

}  // namespace switchyard
