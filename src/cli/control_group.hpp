// What the control groups (cgroups) of this process leave it of memory and of processor time. Every
// group from its own up to the root has a say, in version 1 and in version 2. Knows nothing of what
// is to be done with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace switchyard {

// Bytes: the least, over the groups, of the limit minus what is used, where page cache that can be
// dropped is not counted as used. Nothing where no group has a limit. `root` stands before every
// path, for tests.
std::optional<std::int64_t> memory_left_to_groups(const std::string& root = "");

// Cores' worth of processor time, the least over the groups; nothing where none has a quota.
std::optional<double> processor_quota_of_groups(const std::string& root = "");

}  // namespace switchyard
