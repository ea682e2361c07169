#include "comm/session_directory.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace switchyard {
namespace {

constexpr const char* base = "OMPI_MCA_orte_tmpdir_base";

std::string base_directory() {
  const char* value = getenv(base);
  return value == nullptr ? "" : value;
}

// Starts like a program without a launcher and without a directory of the user's choice.
class SessionDirectoryTest : public testing::Test {
 protected:
  SessionDirectoryTest() {
    for (const char* name : {base, "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) unsetenv(name);
  }
};

TEST_F(SessionDirectoryTest, IsOneOfItsOwnWhileItLives) {
  std::string path;
  {
    const SessionDirectory directory;
    path = base_directory();
    EXPECT_TRUE(std::filesystem::is_directory(path)) << path;
    unsetenv(base);
    const SessionDirectory another;
    EXPECT_NE(base_directory(), path);
    std::filesystem::create_directories(path + "/left/by/mpi");
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << path;
}

TEST_F(SessionDirectoryTest, IsTheUsersWhereOneIsNamed) {
  setenv(base, "/somewhere", 1);
  const SessionDirectory directory;
  EXPECT_EQ(base_directory(), "/somewhere");
}

TEST_F(SessionDirectoryTest, IsTheLaunchersUnderOne) {
  setenv("OMPI_COMM_WORLD_RANK", "0", 1);
  const SessionDirectory directory;
  EXPECT_EQ(base_directory(), "");
}

}  // namespace
}  // namespace switchyard
