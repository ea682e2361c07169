#include "base/process.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace switchyard {
namespace {

namespace fs = std::filesystem;

// A directory that contains directories, files and a link to a file outside of it.
std::string full_directory(const std::string& name) {
  const std::string path = testing::TempDir() + "/switchyard_process_test_" + name;
  fs::remove_all(path);
  fs::create_directories(path + "/a/b");
  for (int i = 0; i < 200; ++i)
    std::ofstream(path + "/a/a-file-of-a-long-name-" + std::to_string(i)) << "x";
  std::ofstream(path + "/a/b/c") << "x";
  fs::create_directory_symlink("/usr", path + "/a/link");
  return path;
}

TEST(ProcessDeathTest, RemovesWhatIsRememberedAndDiesOfTheSignal) {
  const std::string path = full_directory("removed"), kept = full_directory("kept");
  for (const int signal : ending_signals) {
    full_directory("removed");
    EXPECT_EXIT(
        {
          remove_directories_on_signals();
          const RemovedOnSignal removed(path);
          { const RemovedOnSignal no_longer(kept); }
          std::raise(signal);
        },
        testing::KilledBySignal(signal), "");
    EXPECT_FALSE(fs::exists(path)) << signal;
    EXPECT_TRUE(fs::exists(kept + "/a/b/c")) << signal;
  }
  EXPECT_TRUE(fs::exists("/usr/bin"));
  fs::remove_all(kept);
}

TEST(ProcessDeathTest, IgnoresAHangUpThatWasIgnoredBefore) {
  const auto under_nohup = [] {
    std::signal(SIGHUP, SIG_IGN);
    remove_directories_on_signals();
    std::raise(SIGHUP);
    _exit(3);
  };
  EXPECT_EXIT(under_nohup(), testing::ExitedWithCode(3), "");
}

TEST(ProcessDeathTest, IsNotWhatALostReaderOrALargeFileLeadsTo) {
  const auto write_to_nobody = [] {
    ignore_failing_writes();
    int ends[2];
    if (pipe(ends) != 0) _exit(1);
    close(ends[0]);
    _exit(write(ends[1], "x", 1) < 0 && errno == EPIPE && is_ignored(SIGXFSZ) ? 3 : 1);
  };
  EXPECT_EXIT(write_to_nobody(), testing::ExitedWithCode(3), "");
}

TEST(ProcessDeathTest, OpensTheStandardStreamsThatAreClosed) {
  const auto open_a_file = [] {
    close(STDERR_FILENO);
    close(STDIN_FILENO);
    open_standard_streams();
    _exit(dup(STDOUT_FILENO) > STDERR_FILENO ? 3 : 1);
  };
  EXPECT_EXIT(open_a_file(), testing::ExitedWithCode(3), "");
}

TEST(RemovedOnSignal, AreForgottenWhenThereAreTooMany) {
  std::optional<RemovedOnSignal> many[20];
  for (auto& one : many) one.emplace("/nowhere");
  const RemovedOnSignal too_long(std::string(5000, 'x'));
}

}  // namespace
}  // namespace switchyard
