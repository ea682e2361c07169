#include "data/example_line.hpp"

#include <gtest/gtest.h>

#include "support/errors.hpp"

namespace switchyard {
namespace {

using test::fails_with;
using Ids = std::vector<std::int32_t>;

ExampleLine parse(const std::string& line) { return parse_example_line(line, "f.jsonl:3", 256); }

Ids ids(const TextOrIds& side) { return std::get<Ids>(side); }

TEST(ExampleLine, TakesIdsAsTheyAre) {
  const ExampleLine line = parse(R"({"inputs": [5, 0, 255, 1, 0], "targets": [1, 0]})");
  EXPECT_EQ(ids(line.inputs), (Ids{5, 0, 255, 1, 0}));
  EXPECT_EQ(ids(line.targets), (Ids{1, 0}));
}

TEST(ExampleLine, TakesATextOnEitherSide) {
  const ExampleLine line = parse("{\"targets\": \"\", \"inputs\": \"a \\u00e9 \\\"b\\\"\"}\r");
  EXPECT_EQ(std::get<std::string>(line.inputs), "a \xC3\xA9 \"b\"");
  EXPECT_EQ(std::get<std::string>(line.targets), "");
  const ExampleLine mixed = parse(R"({"inputs": "a", "targets": [7]})");
  EXPECT_EQ(std::get<std::string>(mixed.inputs), "a");
  EXPECT_EQ(ids(mixed.targets), Ids{7});
}

TEST(ExampleLine, PassesOverOtherKeys) {
  const ExampleLine line = parse(
      R"({"id": 1e5, "inputs": [1], "more": {"inputs": [300], "targets": null}, "x": [[-1.5, "t"]],)"
      R"("flag": true, "targets": [2], "id": null})");
  EXPECT_EQ(ids(line.inputs), Ids{1});
  EXPECT_EQ(ids(line.targets), Ids{2});
}

// The value under a key -> the words of the error message.
TEST(ExampleLine, RefusesWhatIsNeitherTextNorIds) {
  const std::pair<std::string, std::string> values[] = {
      {"3", "inputs is 3; it must be a text or an array of ids"},
      {"null", "inputs is null"},
      {"true", "inputs is true"},
      {"2.5", "inputs is 2.5"},
      {"{}", "inputs is an object"},
      {"[]", "inputs is empty"},
      {"[256]", "inputs[0] is 256; an id is a whole number from 0 to 255"},
      {"[1, 2, 4294967296]", "inputs[2] is 4294967296"},
      {"[18446744073709551615]", "inputs[0] is 18446744073709551615"},
      {"[18446744073709551616]", "inputs[0] is 18446744073709551616"},
      {"[1, -1]", "inputs[1] is -1"},
      {"[1.0]", "inputs[0] is 1.0"},
      {"[1e2]", "inputs[0] is 1e2"},
      {"[0.333333333333333333333333333333333333333333333]",
       "inputs[0] is 0.33333333333333333333333333333333333333…;"},
      {"[1, null]", "inputs[1] is null"},
      {"[false]", "inputs[0] is false"},
      {"[\"1\"]", "inputs[0] is a text"},
      {"[[1]]", "inputs[0] is an array"},
      {"[1, {}]", "inputs[1] is an object"},
  };
  for (const auto& [value, words] : values) {
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "f.jsonl:3: " + words, [&] {
      parse("{\"inputs\": " + value + ", \"targets\": [1]}");
    })) << value;
  }
}

TEST(ExampleLine, RefusesWhatIsNoExample) {
  const std::string good = R"("inputs": [1], "targets": [2])";
  const std::string deep(100'000, '[');
  const std::pair<std::string, std::string> lines[] = {
      {"", "not JSON at byte"},
      {"{", "not JSON at byte"},
      {"[1, 2]", "no JSON object"},
      {"\"text\"", "no JSON object"},
      {"7", "no JSON object"},
      {"{}", "no inputs"},
      {"{\"inputs\": [1]}", "no targets"},
      {"{\"targets\": [1]}", "no inputs"},
      {"{\"Inputs\": [1], \"targets\": [2]}", "no inputs"},
      {"{" + good + "} {" + good + "}", "not JSON at byte"},
      {"{" + good + "}x", "not JSON at byte"},
      {"{" + good, "not JSON at byte"},
      {"{" + good + ",}", "not JSON at byte"},
      {"{'inputs': [1], 'targets': [2]}", "not JSON at byte 2"},
      {std::string("{") + '\0' + good + "}", "not JSON at byte 2"},
      {"{" + good + "}" + '\0', "not JSON at byte"},
      {"{\"inputs\": \"\xFF\", \"targets\": [2]}", "not JSON at byte"},
      {"{\"inputs\": \"\\ud800\", \"targets\": [2]}", "not JSON at byte"},
      {"{\"inputs\": [NaN], \"targets\": [2]}", "not JSON at byte"},
      {"{\"inputs\": [1e999], \"targets\": [2]}", "not JSON at byte"},
      {"{" + good + ", \"inputs\": [1]}", "inputs stands twice"},
      {"{" + good + ", \"t\\u0061rgets\": null}", "targets stands twice"},
      {"{\"x\": " + deep, "nested deeper than 64 levels"},
      {"{\"inputs\": " + deep, "inputs[0] is an array"},
      {deep, "no JSON object"},
  };
  for (const auto& [line, words] : lines) {
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "f.jsonl:3: " + words, [&] { parse(line); }))
        << line.substr(0, 80);
  }
}

// Any bytes give either an example or an Error.
TEST(ExampleLine, SurvivesEveryOneByteChange) {
  const std::string line = R"({"inputs": [1, 20], "x": {"y": [null]}, "targets": "a\u00e9"})";
  int parsed = 0;
  for (std::size_t at = 0; at < line.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = line;
      changed[at] = static_cast<char>(byte);
      try {
        parse(changed);
        ++parsed;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::damaged_data);
      }
    }
  }
  EXPECT_GT(parsed, static_cast<int>(line.size())) << "each byte unchanged, and some more";
}

}  // namespace
}  // namespace switchyard
