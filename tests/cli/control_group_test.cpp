#include "cli/control_group.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "support/program.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

// The files of a machine's control groups, in Linux's layout, below a test directory.
class ControlGroups : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root() + path).parent_path());
    test::write_text(root() + path, text);
  }
  void memory_1(const std::string& group, const std::string& limit, const std::string& used,
                const std::string& cache) {
    const std::string directory = "/sys/fs/cgroup/memory" + group;
    write(directory + "/memory.limit_in_bytes", limit);
    write(directory + "/memory.usage_in_bytes", used);
    write(directory + "/memory.stat", "inactive_file 1\ntotal_inactive_file " + cache + "\n");
  }
  void memory_2(const std::string& group, const std::string& limit, const std::string& used,
                const std::string& cache) {
    const std::string directory = "/sys/fs/cgroup" + group;
    write(directory + "/memory.max", limit);
    write(directory + "/memory.current", used);
    write(directory + "/memory.stat", "anon 5\ninactive_file " + cache + "\n");
  }
  const std::string& root() const { return directory_.path(); }

 private:
  test::TemporaryDirectory directory_;
};

TEST_F(ControlGroups, HaveNoLimitWhereThereAreNone) {
  EXPECT_FALSE(memory_left_to_groups(root()));
  EXPECT_FALSE(processor_quota_of_groups(root()));
  write("/proc/self/cgroup", "0::/user\n");
  memory_2("/user", "max", "900", "0");
  write("/sys/fs/cgroup/user/cpu.max", "max 100000\n");
  EXPECT_FALSE(memory_left_to_groups(root()));
  EXPECT_FALSE(processor_quota_of_groups(root()));
}

TEST_F(ControlGroups, LeaveTheLimitMinusWhatIsUsedWithoutPageCache) {
  write("/proc/self/cgroup", "7:pids:/x\n4:cpuset,memory:/job/step:1\n0::/\n");
  memory_1("/job/step:1", "1000", "700", "300");
  EXPECT_EQ(memory_left_to_groups(root()), 600);
}

TEST_F(ControlGroups, OfVersionTwoDoTheSame) {
  write("/proc/self/cgroup", "0::/job/step\n");
  memory_2("/job/step", "1000\n", "700\n", "300");
  EXPECT_EQ(memory_left_to_groups(root()), 600);
}

TEST_F(ControlGroups, AreEachAskedUpToTheRoot) {
  write("/proc/self/cgroup", "4:memory:/job/step/task\n");
  memory_1("/job/step/task", "9223372036854771712", "10", "0");
  memory_1("/job", "500", "100", "0");
  memory_1("", "9223372036854771712", "9000", "0");
  EXPECT_EQ(memory_left_to_groups(root()), 400);
  memory_2("", "300", "0", "0");  // of both versions, side by side
  EXPECT_EQ(memory_left_to_groups(root()), 300);
}

// In a container, the path is often the one outside, and the group itself is at the top.
TEST_F(ControlGroups, AreFoundFromInsideAContainer) {
  write("/proc/self/cgroup", "4:memory:/docker/0123\n0::/../../elsewhere\n");
  memory_1("", "1000", "400", "0");
  EXPECT_EQ(memory_left_to_groups(root()), 600);
  memory_2("", "500", "400", "0");
  EXPECT_EQ(memory_left_to_groups(root()), 100);
}

TEST_F(ControlGroups, LeaveNothingWhereMoreIsUsedThanTheLimit) {
  memory_2("", "1000", "1500", "100");
  EXPECT_EQ(memory_left_to_groups(root()), 0);
}

TEST_F(ControlGroups, GiveTheLeastQuotaOfProcessorTime) {
  write("/proc/self/cgroup", "2:cpu,cpuacct:/a\n0::/b/c\n");
  write("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(processor_quota_of_groups(root()));
  write("/sys/fs/cgroup/b/c/cpu.max", "250000 100000\n");
  EXPECT_EQ(processor_quota_of_groups(root()), 2.5);
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(processor_quota_of_groups(root()), 0.5);
}

}  // namespace
}  // namespace switchyard
