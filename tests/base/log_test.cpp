#include "base/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <sstream>

#include "base/error.hpp"

namespace switchyard {
namespace {

std::string contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(Log, WritesItsLinesToTheConsoleAndStampedToTheFile) {
  const std::string path = testing::TempDir() + "/switchyard_log_test.txt";
  std::filesystem::remove(path);
  std::ostringstream console;
  {
    Log log(&console);
    log.info("before the file");
    log.append_to(path);
    log.info("resumed from step 10");
    log.warning("slow disk");
    log.file_only("step 11");
    EXPECT_EQ(log.warnings(), 1);
  }
  EXPECT_EQ(console.str(), "before the file\nresumed from step 10\nwarning: slow disk\n");
  const std::string stamp = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z ";
  EXPECT_THAT(contents(path), testing::MatchesRegex(stamp + "resumed from step 10\n" + stamp +
                                                    "warning: slow disk\n" + stamp + "step 11\n"));
  {
    Log again(&console);
    again.append_to(path);
    again.error("second start");
  }
  EXPECT_NE(contents(path).find("step 11\n"), std::string::npos);
  EXPECT_NE(contents(path).find("error: second start\n"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(Log, IsSilentWithoutAConsole) {
  const std::string path = testing::TempDir() + "/switchyard_silent_log_test.txt";
  Log log(nullptr);
  log.append_to(path);
  log.info("nobody hears this");
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Log, OutlivesAFileThatCannotBeWritten) {
  std::ostringstream console;
  Log log(&console);
  log.append_to("/dev/full");
  log.info("first");
  log.info("second");
  EXPECT_EQ(console.str().find("first\nwarning: log.txt can no longer be written"), 0u);
  EXPECT_TRUE(console.str().ends_with("\nsecond\n"));
}

// A console whose reader is gone for some of the lines.
TEST(Log, LosesOnlyTheLinesThatItsConsoleDidNotTake) {
  const std::string path = testing::TempDir() + "/switchyard_lost_console_test.txt";
  std::filesystem::remove(path);
  std::ostringstream console;
  Log log(&console);
  log.append_to(path);
  console.setstate(std::ios::badbit);
  log.info("first");
  std::ofstream full("/dev/full");
  Log other(&full);
  other.append_to(path);
  other.info("second");
  other.info("third");
  for (const char* line : {"first", "second", "third"})
    EXPECT_NE(contents(path).find(line), std::string::npos) << line;
  EXPECT_EQ(console.str(), "first\n");
  std::filesystem::remove(path);
}

TEST(Log, RefusesAFileThatCannotBeOpened) {
  std::ostringstream console;
  Log log(&console);
  try {
    log.append_to("/nowhere/log.txt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::output_not_writable);
  }
}

}  // namespace
}  // namespace switchyard
