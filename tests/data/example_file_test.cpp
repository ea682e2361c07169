#include "data/example_file.hpp"

#include <gtest/gtest.h>

#include <set>

#include "corpus_files.hpp"
#include "data/example_file_source.hpp"
#include "files/sha256.hpp"
#include "support/errors.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;
using Ids = std::vector<std::int32_t>;

class ExampleFiles : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    return test::write_text(scratch_.path() + "/f.jsonl", text);
  }
  ExampleFile open(const std::string& text) { return {env_, write(text)}; }

  // A file in which example i is {i, 0} -> {1, i}.
  ExampleFile numbered(int examples) {
    std::string text;
    for (int i = 0; i < examples; ++i) {
      const std::string id = std::to_string(i);
      text += "{\"inputs\": [" + id + ", 0], \"targets\": [1, " + id + "]}\n";
    }
    return open(text);
  }

  PosixEnv env_;
  test::ScratchDirectory scratch_;
};

TEST_F(ExampleFiles, AreKnownByTheirName) {
  EXPECT_TRUE(is_example_file("a/b.jsonl"));
  for (const char* other : {"", "jsonl", "a/b.jsonl/", "a.jsonl.gz", "a.json"})
    EXPECT_FALSE(is_example_file(other)) << other;
}

TEST_F(ExampleFiles, GiveEachLineAndItsPlace) {
  const std::string text = "one\n\n  \t\r\ntwo\r\n\nthree";
  const ExampleFile file = open(text);
  ASSERT_EQ(file.size(), 3);
  const std::pair<std::string, int> expected[] = {{"one", 1}, {"two\r", 4}, {"three", 6}};
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(file.line(i), expected[i].first);
    EXPECT_EQ(file.place(i), file.path() + ":" + std::to_string(expected[i].second));
  }
  EXPECT_EQ(file.sha256(), sha256_hex(text));
  EXPECT_EQ(open("one\n").size(), 1);
  EXPECT_EQ(open("\none").place(0), file.path() + ":2");
}

// The file is read 1 MiB at a time: lines that end at, before and after a boundary.
TEST_F(ExampleFiles, GiveLinesThatCrossWhatIsReadAtOnce) {
  constexpr std::size_t at_once = 1 << 20;
  for (const std::size_t length : {at_once - 2, at_once - 1, at_once, at_once + 1, 3 * at_once}) {
    const std::string line(length, 'x');
    const ExampleFile file = open(line + "\nsecond\n" + line);
    ASSERT_EQ(file.size(), 3) << length;
    EXPECT_TRUE(file.line(0) == line && file.line(2) == line) << length;
    EXPECT_EQ(file.line(1), "second") << length;
  }
}

TEST_F(ExampleFiles, AreRefusedWithoutAnExample) {
  for (const char* text : {"", "\n", " \n\r\n\t"}) {
    EXPECT_TRUE(fails_with(ExitCode::missing_input, "f.jsonl holds no example", [&] {
      open(text);
    })) << text;
  }
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "none.jsonl",
                         [&] { ExampleFile(env_, scratch_.path() + "/none.jsonl"); }));
  env_.make_directories(scratch_.path() + "/folder.jsonl");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "folder.jsonl",
                         [&] { ExampleFile(env_, scratch_.path() + "/folder.jsonl"); }));
}

TEST_F(ExampleFiles, AreRefusedWithALineOfMoreThan16MiB) {
  const std::string longest(16 << 20, ' ');
  EXPECT_EQ(open(longest + "\nx").size(), 1);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "f.jsonl:2: longer than 16 MiB",
                         [&] { open("x\ny" + longest + "\n"); }));
}

TEST_F(ExampleFiles, AreSeenWholeInEachEpochInAnotherOrder) {
  constexpr int examples = 11;
  const ExampleFile file = numbered(examples);
  const ExampleRules rules{.vocab_size = 20};
  const auto source = ExampleFileSource::training(file, rules, 3);
  std::set<Ids> orders;
  for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
    Ids order;
    for (std::int64_t i = 0; i < examples; ++i) {
      const Example example = source.example(epoch * examples + i);
      const std::int32_t id = example.inputs[0];
      EXPECT_EQ(example.inputs, (Ids{id, 0}));
      EXPECT_EQ(example.targets, (Ids{1, id}));
      order.push_back(id);
    }
    EXPECT_EQ(std::set<std::int32_t>(order.begin(), order.end()).size(), std::size_t{examples});
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 4U);
  EXPECT_NE(ExampleFileSource::training(file, rules, 4).example(0).inputs[0],
            source.example(0).inputs[0]);
}

TEST_F(ExampleFiles, AreValidatedInTheirOwnOrder) {
  const ExampleFile file = numbered(7);
  const auto source = ExampleFileSource::validation(file, {.vocab_size = 7});
  ASSERT_EQ(source.size(), 7);
  for (std::int32_t i = 0; i < 7; ++i) EXPECT_EQ(source.example(i).inputs, (Ids{i, 0}));
}

TEST_F(ExampleFiles, EncodeTextsWithAnEndAndIdsWithout) {
  const Tokenizer tokenizer(test::small_model(scratch_), "model");
  const ExampleFile file =
      open("{\"inputs\": \"ba be\", \"targets\": [5, 9]}\n{\"inputs\": [3], \"targets\": \"\"}\n");
  const auto source =
      ExampleFileSource::validation(file, {.vocab_size = 400, .tokenizer = &tokenizer});
  Ids expected = tokenizer.encode("ba be");
  expected.push_back(Vocabulary::eos);
  EXPECT_EQ(source.example(0).inputs, expected);
  EXPECT_EQ(source.example(0).targets, (Ids{5, 9}));
  EXPECT_EQ(source.example(1).targets, Ids{Vocabulary::eos});
}

TEST_F(ExampleFiles, TakeSentinelsInATextForSentinelsUnlessToldOtherwise) {
  const Tokenizer tokenizer(test::small_model(scratch_), "model");
  const ExampleFile file = open("{\"inputs\": \"ba <extra_id_0> be\", \"targets\": [5]}\n");
  const auto inputs = [&](bool sentinels) {
    const ExampleRules rules{
        .vocab_size = 400, .tokenizer = &tokenizer, .sentinels_in_text = sentinels};
    return ExampleFileSource::validation(file, rules).example(0).inputs;
  };
  const auto with_end = [](std::vector<std::int32_t> pieces) {
    pieces.push_back(Vocabulary::eos);
    return Ids(pieces.begin(), pieces.end());
  };
  EXPECT_EQ(inputs(true), with_end(tokenizer.encode_with_sentinels("ba <extra_id_0> be")));
  EXPECT_EQ(inputs(false), with_end(tokenizer.encode("ba <extra_id_0> be")));
  EXPECT_LT(inputs(true).size(), inputs(false).size());
}

TEST_F(ExampleFiles, NameTheLineOfATextWithoutTokenizer) {
  const ExampleFile file = open(
      "{\"inputs\": [1], \"targets\": [2]}\n\n"
      "{\"inputs\": [1], \"targets\": \"a\"}\n");
  const auto source = ExampleFileSource::validation(file, {.vocab_size = 4});
  EXPECT_NO_THROW(source.verify(0, 1));
  EXPECT_TRUE(fails_with(ExitCode::usage, "f.jsonl:3: a text, and there is no tokenizer",
                         [&] { source.verify(0, 2); }));
}

TEST_F(ExampleFiles, NameTheExampleThatIsLongerThanARow) {
  const ExampleFile file = open("{\"inputs\": [1, 2, 3], \"targets\": [1, 2]}\n");
  const auto verify = [&](std::int64_t inputs, std::int64_t targets) {
    ExampleFileSource::validation(
        file, {.vocab_size = 4, .input_length = inputs, .target_length = targets})
        .verify(0, 1);
  };
  EXPECT_NO_THROW(verify(3, 2));
  EXPECT_NO_THROW(verify(0, 0));
  EXPECT_TRUE(fails_with(ExitCode::usage,
                         "f.jsonl:1: the example has 3 inputs, but data.input_length is 2",
                         [&] { verify(2, 2); }));
  EXPECT_TRUE(fails_with(ExitCode::usage,
                         "f.jsonl:1: the example has 2 targets, but data.target_length is 1",
                         [&] { verify(3, 1); }));
}

TEST_F(ExampleFiles, TellTheLargestLengthsOfAPart) {
  const ExampleFile file = open(
      "{\"inputs\": [1, 2, 3], \"targets\": [1]}\n"
      "{\"inputs\": [1], \"targets\": [1, 2]}\n"
      "{\"inputs\": [1, 2, 3, 4], \"targets\": [1, 2, 3]}\n");
  const auto source = ExampleFileSource::validation(file, {.vocab_size = 5});
  const auto lengths = [&](std::int64_t first, std::int64_t end) {
    const ExampleLengths longest = source.verify(first, end);
    return std::pair(longest.inputs, longest.targets);
  };
  EXPECT_EQ(lengths(0, 2), std::pair(3L, 2L));
  EXPECT_EQ(lengths(1, 2), std::pair(1L, 2L));
  EXPECT_EQ(lengths(0, 3), std::pair(4L, 3L));
  EXPECT_EQ(lengths(2, 2), std::pair(0L, 0L));
}

// Another program may write the file while a run reads it.
TEST_F(ExampleFiles, ThatChangeWhileTheyAreReadGiveAnError) {
  const ExampleFile file = numbered(9);
  const auto source = ExampleFileSource::validation(file, {.vocab_size = 20});
  source.verify(0, 9);
  write("{\"inputs\": [1], \"targets\": [2, 3, 4]}\n{\"inputs\": [1], ");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "f.jsonl", [&] { source.verify(0, 9); }));
}

}  // namespace
}  // namespace switchyard
