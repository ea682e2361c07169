#include "cli/control_group.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace switchyard {
namespace {

namespace fs = std::filesystem;

// Where a controller's groups are mounted, and the names of the files that contain their limits.
struct Hierarchy {
  const char* controller;  // "" for version 2, which has one hierarchy for all
  std::vector<std::string> mounts;
};

struct MemoryFiles {
  Hierarchy hierarchy;
  const char *limit, *used, *droppable;
};

const std::vector<std::string>& mounts_of_version_2() {
  static const std::vector<std::string> mounts = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
  return mounts;
}

// Whether a line of /proc/self/cgroup is for this controller: `4:memory:/a/b`, or `0::/a/b` in
// version 2.
bool is_of(const std::string& controllers, const std::string& controller) {
  return ("," + controllers + ",").find("," + controller + ",") != std::string::npos;
}

// This process's group in a hierarchy, "/a/b". The topmost group where no line names it, or where
// its path lies outside of what is mounted here.
std::string group_of(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string number, controllers, path; std::getline(file, number, ':') &&
                                              std::getline(file, controllers, ':') &&
                                              std::getline(file, path);) {
    if (is_of(controllers, controller)) return path.find("/..") == path.npos ? path : "/";
  }
  return "/";
}

// All groups from the process's own up to the mounted root. Inside a container, the process's own
// group often is the mounted root, under a path that exists only outside.
std::vector<fs::path> groups(const std::string& root, const Hierarchy& hierarchy) {
  std::vector<fs::path> found;
  const std::string own = group_of(root, hierarchy.controller);
  for (const std::string& mount : hierarchy.mounts) {
    const fs::path top = root + mount;
    for (fs::path at = own == "/" ? top : fs::path(top.string() + own);; at = at.parent_path()) {
      found.push_back(at);
      if (at == top || at.string().size() < top.string().size()) break;
    }
  }
  return found;
}

// The number in a file that contains one; nullopt for "max" or where the file is absent.
std::optional<std::int64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

// The number after `name` in a file with lines of the form `name number`.
std::int64_t number_after(const std::string& name, const fs::path& path) {
  std::ifstream file(path);
  std::string word;
  for (std::int64_t number; file >> word >> number;) {
    if (word == name) return number;
  }
  return 0;
}

template <class Number>
void lower(std::optional<Number>& least, Number value) {
  least = least ? std::min(*least, value) : value;
}

}  // namespace

std::optional<std::int64_t> memory_left_to_groups(const std::string& root) {
  const MemoryFiles versions[] = {
      {{"memory", {"/sys/fs/cgroup/memory"}},
       "memory.limit_in_bytes",
       "memory.usage_in_bytes",
       "total_inactive_file"},
      {{"", mounts_of_version_2()}, "memory.max", "memory.current", "inactive_file"}};
  std::optional<std::int64_t> least;
  for (const MemoryFiles& files : versions) {
    for (const fs::path& group : groups(root, files.hierarchy)) {
      const auto limit = number_in(group / files.limit);
      if (!limit) continue;
      const std::int64_t used = number_in(group / files.used).value_or(0) -
                                number_after(files.droppable, group / "memory.stat");
      lower(least, std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, used)));
    }
  }
  return least;
}

std::optional<double> processor_quota_of_groups(const std::string& root) {
  std::optional<double> least;
  const auto count = [&](std::int64_t quota, std::int64_t period) {
    if (quota > 0 && period > 0)
      lower(least, static_cast<double>(quota) / static_cast<double>(period));
  };
  const Hierarchy version_1{"cpu", {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}};
  for (const fs::path& group : groups(root, version_1)) {
    count(number_in(group / "cpu.cfs_quota_us").value_or(0),
          number_in(group / "cpu.cfs_period_us").value_or(0));
  }
  for (const fs::path& group : groups(root, {"", mounts_of_version_2()})) {
    std::ifstream file(group / "cpu.max");  // "150000 100000", or "max 100000"
    std::int64_t quota = 0, period = 0;
    if (file >> quota >> period) count(quota, period);
  }
  return least;
}

}  // namespace switchyard
