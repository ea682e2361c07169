// The pages compared with the program: the options, values and configurations that they name exist,
// and the program prints the messages under "Troubleshooting".
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "run.pb.h"

namespace switchyard::test {
namespace {

namespace fs = std::filesystem;
using google::protobuf::FieldDescriptor;

const fs::path source = SOURCE_DIRECTORY;
const std::string gap = "…";  // in a quoted message: what differs from case to case

std::string read(const fs::path& file) {
  std::ifstream in(file);
  EXPECT_TRUE(in) << file;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::smatch> matches(const std::string& text, const std::regex& pattern) {
  return {std::sregex_iterator(text.begin(), text.end(), pattern), {}};
}

const FieldDescriptor* find_option(const std::string& block, const std::string& name) {
  return RunConfig::descriptor()->FindFieldByName(block)->message_type()->FindFieldByName(name);
}

// "model|moe|...": the blocks of options.
std::string blocks() {
  std::string names;
  for (int i = 0; i < RunConfig::descriptor()->field_count(); ++i) {
    names += (i > 0 ? "|" : "") + RunConfig::descriptor()->field(i)->name();
  }
  return names;
}

class Readme : public testing::TestWithParam<const char*> {
 protected:
  const std::string text_ = read(source / GetParam());
};

INSTANTIATE_TEST_SUITE_P(All, Readme,
                         testing::Values("README.md", "configs/README.md", "launch/README.md",
                                         "src/README.md", "src/interchange/HUGGING_FACE.md",
                                         "src/data/PREPARE.md", "cluster/scaling/README.md",
                                         "cluster/scaling/FINDINGS.md", "cluster/PLATFORMS.md",
                                         "cluster/README.md", "cluster/simulate/README.md",
                                         "tests/bench/README.md", "tests/bench/RESULTS.md"));

// `block.option`, alone or with a value: `block.option=value`, `block.option: VALUE`.
TEST_P(Readme, NamesOptionsAndValuesThatExist) {
  const std::regex pattern("(?:^|[^\\w./-])(" + blocks() + ")\\.(\\w+)(?:(?:=|: )(\\w+))?");
  for (const std::smatch& match : matches(text_, pattern)) {
    const FieldDescriptor* option = find_option(match[1], match[2]);
    ASSERT_NE(option, nullptr) << match[1] << "." << match[2];
    if (!option->enum_type() || !match[3].matched) continue;
    std::string value = match[3];
    std::transform(value.begin(), value.end(), value.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    EXPECT_NE(option->enum_type()->FindValueByName(value), nullptr) << match.str();
  }
}

TEST_P(Readme, NamesConfigurationsThatExist) {
  for (const std::smatch& match : matches(text_, std::regex("--config ([a-z]\\w*)"))) {
    EXPECT_TRUE(fs::exists(source / "configs" / (match[1].str() + ".textproto"))) << match.str();
  }
}

TEST(Readmes, NameOptionsAtAll) {
  const std::regex pattern("`(?:" + blocks() + ")\\.\\w+`");
  EXPECT_GT(matches(read(source / "README.md"), pattern).size(), 3U);
  EXPECT_GT(matches(read(source / "launch/README.md"), pattern).size(), 10U);
  EXPECT_GT(matches(read(source / "configs/README.md"), pattern).size(), 40U);
}

// The text of the string literals in each statement of C++ source, with a gap where anything but
// space or a comment separates two of them.
std::vector<std::string> literals_of_statements(const std::string& code) {
  static const std::regex token(
      R"re(//[^\n]*|"((?:[^"\\]|\\.)*)"|\d['\w.]*|'(?:[^'\\]|\\.)+'|[;{}]|\S)re");
  static const std::regex escape(R"(\\(.))");
  std::vector<std::string> statements(1);
  bool between = false;
  for (const std::smatch& match : matches(code, token)) {
    if (match[1].matched) {
      if (between && !statements.back().empty()) statements.back() += gap;
      statements.back() += std::regex_replace(match[1].str(), escape, "$1");
      between = false;
    } else if (match.str().starts_with("//")) {
      continue;
    } else if (std::string_view(";{}").find(match.str()) != std::string_view::npos) {
      if (!statements.back().empty()) statements.emplace_back();
    } else {
      between = true;
    }
  }
  return statements;
}

std::vector<std::string> statements_of_the_program() {
  std::vector<std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(source / "src")) {
    if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
    std::ranges::move(literals_of_statements(read(entry.path())), std::back_inserter(all));
  }
  return all;
}

// Whether the parts of the message between its gaps occur in the statement in this order.
bool prints(std::string_view statement, std::string_view message) {
  while (!message.empty()) {
    const std::string_view part = message.substr(0, message.find(gap));
    const std::size_t at = statement.find(part);
    if (at == std::string_view::npos) return false;
    statement.remove_prefix(at + part.size());
    message.remove_prefix(std::min(part.size() + gap.size(), message.size()));
  }
  return true;
}

// The code spans in the second column of the table under "Troubleshooting".
std::vector<std::string> quoted_messages() {
  const std::string text = read(source / "launch/README.md");
  const std::size_t begin = text.find("\n## Troubleshooting\n");
  EXPECT_NE(begin, std::string::npos);
  std::istringstream section(text.substr(begin, text.find("\n## ", begin + 1) - begin));
  std::vector<std::string> messages;
  const std::regex row(R"(^\|[^|]*\| *`([^`]+)` *\|)");
  std::smatch match;
  for (std::string line; std::getline(section, line);) {
    if (std::regex_search(line, match, row)) messages.push_back(match[1]);
  }
  return messages;
}

TEST(Troubleshooting, QuotesMessagesThatTheProgramPrints) {
  const std::vector<std::string> statements = statements_of_the_program();
  const std::vector<std::string> messages = quoted_messages();
  EXPECT_GE(messages.size(), 20U);
  for (const std::string& message : messages) {
    EXPECT_TRUE(std::ranges::any_of(statements, [&](const std::string& statement) {
      return prints(statement, message);
    })) << message;
  }
}

TEST(Troubleshooting, TellsWhatAStatementPrintsFromWhatItDoesNot) {
  const auto statements = literals_of_statements(
      "size = 1'000; throw Error(\"it is \" + n + \" of \\\"x\\\" \"  // \" no\n  \"or y\", "
      "'\"');");
  ASSERT_EQ(statements.size(), 2U);
  EXPECT_EQ(statements[0], "it is … of \"x\" or y");
  EXPECT_TRUE(prints(statements[0], "it is … or y"));
  EXPECT_TRUE(prints(statements[0], "… of …"));
  EXPECT_FALSE(prints(statements[0], "it was …"));
  EXPECT_FALSE(prints(statements[0], "or y … it is"));
}

// The Python code in launch/README.md, applied to a run's real records.
TEST(Pages, ShowPythonThatReadsARunsMetrics) {
  if (std::system("python3 -c pass 2>/dev/null") != 0) GTEST_SKIP() << "no python3 here";
  const std::string page = read(source / "launch/README.md"), fence = "```python\n";
  const std::size_t begin = page.find(fence);
  ASSERT_NE(begin, page.npos);
  const std::string program = page.substr(
      begin + fence.size(), page.find("```", begin + fence.size()) - begin - fence.size());
  const fs::path directory = fs::temp_directory_path() / ("readme-" + std::to_string(getpid()));
  fs::create_directories(directory);
  fs::create_directory_symlink(source / "tests/golden/adafactor", directory / "RUN");
  std::ofstream(directory / "read.py")
      << program << "print(len(loss), len(validation), *loss[-1])\n";
  const std::string command = "cd " + directory.string() + " && python3 read.py > output 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0) << read(directory / "output");
  EXPECT_TRUE(std::regex_match(read(directory / "output"),
                               std::regex("[1-9]\\d* [1-9]\\d* \\d+ [\\d.]+\n")))
      << read(directory / "output");
  fs::remove_all(directory);
}

}  // namespace
}  // namespace switchyard::test
