#include "cli/command_line.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/program.hpp"

namespace switchyard {
namespace {

using Strings = std::vector<std::string>;

TEST(CommandLine, QuotesOnlyWhatAShellWouldTakeApart) {
  EXPECT_EQ(shell_text(Strings{"train", "--set", "train.steps=3", "--output", "runs/a"}),
            "train --set train.steps=3 --output runs/a");
  EXPECT_EQ(shell_text(Strings{"--input", "books/*.txt"}), "--input 'books/*.txt'");
}

TEST(CommandLine, ReadsBackAsTheSameWords) {
  const Strings words = {"", " ", "my run", "it's", "$HOME", "a\\b", "*", "\"", "~", "a;b", "é"};
  std::string expected;
  for (const std::string& word : words) expected += "<" + word + ">";
  EXPECT_EQ(test::run_shell("printf '<%s>' " + shell_text(words)).output, expected);
}

// This test is not the program that launch/local.sh would start, so it has to be named.
TEST(CommandLine, NamesAProgramThatALauncherWouldNotFind) {
  const std::string line = local_command_line(2, 1, Strings{"train"});
  EXPECT_NE(line.find("launch/local.sh -n 2 -t 1 "), std::string::npos) << line;
  EXPECT_NE(line.find("cli_test train"), std::string::npos) << line;
}

}  // namespace
}  // namespace switchyard
