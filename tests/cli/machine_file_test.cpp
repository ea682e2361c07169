// The file of a machine's constants: what is written reads back, and nothing else is read.
#include "cli/machine_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "base/error.hpp"
#include "support/program.hpp"

namespace switchyard {
namespace {

using ::testing::HasSubstr;

const std::string golden = std::string(GOLDEN_DIRECTORY) + "/machine.textproto";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

// The message for a file with this text; "" where it is read.
std::string message(const std::string& text) {
  const test::TemporaryDirectory scratch;
  const std::array<std::string, 1> path = {scratch.path() + "/machine"};
  test::write_text(path[0], text);
  try {
    read_machine_files(path);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    return error.what();
  }
}

TEST(MachineFile, ReadsBackAsItIsWritten) {
  const Machine machine = read_machine_files(std::array{golden});
  EXPECT_EQ(machine.processes_per_host, 2);
  EXPECT_NEAR(machine.float32.rate(1024, 2048, 2048), 12.25e9, 1);
  EXPECT_DOUBLE_EQ(machine.between_hosts->rate, 0.118e9);
  EXPECT_DOUBLE_EQ(machine.inside_host->message, 1.5e-6);
  EXPECT_DOUBLE_EQ(machine.sweeps.step, 250e-6);
  const std::array<std::string, 1> origin = {"Stated for a test."};
  EXPECT_EQ(machine_text(machine, origin), test::read_text(golden));
}

TEST(MachineFile, MayBeFollowedByANetworkAlone) {
  const test::TemporaryDirectory scratch;
  const std::array<std::string, 2> both = {golden, scratch.path() + "/network"};
  test::write_text(both[1], "between_hosts { gb_per_second: 12.5 }");
  const Machine machine = read_machine_files(both);
  EXPECT_DOUBLE_EQ(machine.between_hosts->rate, 12.5e9);
  EXPECT_DOUBLE_EQ(machine.between_hosts->message, 30e-6) << "kept from the first";
  EXPECT_EQ(machine.float32.rates.size(), 12u) << "not appended to";
}

TEST(MachineFile, IsRefusedInOneSentenceWithThePlace) {
  const std::string text = test::read_text(golden);
  const auto with = [&](const std::string& from, const std::string& to) {
    return message(replaced(text, from, to));
  };
  EXPECT_EQ(message(text), "");
  EXPECT_THAT(with("threads: 1", "thread: 1"), HasSubstr("machine:6:"));
  EXPECT_THAT(with("threads: 1", ""), HasSubstr("threads is missing"));
  EXPECT_THAT(with("threads: 1", "threads: 0"), HasSubstr("threads must be between 1"));
  EXPECT_THAT(with("threads: 1", "threads: 1 threads: 2"), HasSubstr("machine:6:"));
  EXPECT_THAT(with("[1.5, 2", "[2"), HasSubstr("float32.gflops has 11 values"));
  EXPECT_THAT(with("[1.5", "[0"), HasSubstr("float32.gflops must be a number above 0"));
  EXPECT_THAT(with("[1.5", "[nan"), HasSubstr("float32.gflops must be"));
  EXPECT_THAT(with("[16, 1024]", "[1024, 16]"), HasSubstr("float32.rows must be"));
  EXPECT_THAT(with("[16, 1024]", "[16, 16]"), HasSubstr("float32.rows must be"));
  EXPECT_THAT(with("memory_gb_per_second: 3.25", ""), HasSubstr("memory_gb_per_second is missing"));
  EXPECT_THAT(with("logit: 0.75", "logit: -1"), HasSubstr("sweeps.logit must be"));
  EXPECT_THAT(with("logit: 0.75", "logit: inf"), HasSubstr("sweeps.logit must be"));
  EXPECT_THAT(with("score: 1.5", ""), HasSubstr("sweeps.score is missing"));
  EXPECT_THAT(with("gb_per_second: 0.118", "gb_per_second: 0"),
              HasSubstr("between_hosts.gb_per_second must be"));
  EXPECT_THAT(with("overlap_gain: 0.3", "overlap_gain: 2"), HasSubstr("overlap_gain must be"));
}

// Every prefix, and every byte replaced, is refused or read; nothing else happens.
TEST(MachineFile, DamagedAnywhereIsReadOrRefused) {
  const std::string text = test::read_text(golden);
  for (std::size_t i = 0; i < text.size(); i += 3) {
    message(text.substr(0, i));
    for (const char hostile : {'\0', '\xff', '{', '"', '9'}) {
      std::string damaged = text;
      damaged[i] = hostile;
      message(damaged);
    }
  }
  EXPECT_NE(message(""), "");
  EXPECT_NE(message(std::string(5000, '{')), "");
  EXPECT_NE(message("float32 " + std::string(3000, '<')), "");
}

TEST(MachineFile, ThatIsNotThereIsMissingInput) {
  for (const std::string& path : {std::string("/nowhere/machine"), std::string("/")}) {
    try {
      read_machine_files(std::array{path});
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::missing_input);
    }
  }
}

}  // namespace
}  // namespace switchyard
