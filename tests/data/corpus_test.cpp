#include "data/corpus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "corpus_files.hpp"
#include "data/json_text.hpp"
#include "data/utf8.hpp"
#include "support/errors.hpp"

namespace switchyard {
namespace {

using test::documents_of;
using test::fails_with;
using test::gzipped;
using test::write_text;
using testing::ElementsAre;
using testing::HasSubstr;

class Corpus : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& bytes) {
    return write_text(scratch_.path() + "/" + name, bytes);
  }
  std::vector<std::string> read(const std::string& path, bool lines = false) {
    const std::vector files = {path};
    CorpusReader reader(files, lines);
    auto documents = documents_of(reader);
    report_ = reader.report();
    if (report_.damaged_lines == 0) {
      EXPECT_EQ(report_.bytes, bytes_on_disk(files));
    }
    return documents;
  }
  test::ScratchDirectory scratch_;
  CorpusReport report_;
};

TEST_F(Corpus, ABlankLineEndsADocumentOfText) {
  const auto path = file("a.txt", "\n\none\ntwo\n\n \t\n\nthree\r\n\r\nfour");
  EXPECT_THAT(read(path), ElementsAre("one\ntwo", "three", "four"));
  EXPECT_EQ(report_.documents, 3);
}

TEST_F(Corpus, EachLineIsADocumentWhereAsked) {
  EXPECT_THAT(read(file("a.txt", "one\ntwo\n\nthree"), true), ElementsAre("one", "two", "three"));
}

TEST_F(Corpus, AByteOrderMarkIsNoText) {
  EXPECT_THAT(read(file("a.txt", "\xEF\xBB\xBFone\n")), ElementsAre("one"));
}

TEST_F(Corpus, JsonLinesGiveTheirText) {
  const auto path = file("a.jsonl",
                         "{\"text\": \"one\\ntwo\", \"url\": {\"text\": \"no\"}}\n\n"
                         "{\"meta\": [1, {\"text\": \"no\"}], \"text\": \"three \\u00e4\"}\n"
                         "{\"text\": \"  \"}\n{\"text\": \"first\", \"text\": \"second\"}");
  EXPECT_THAT(read(path), ElementsAre("one\ntwo", "three \xC3\xA4", "first"));
  EXPECT_EQ(report_.damaged_lines, 0);
}

TEST_F(Corpus, DamagedJsonIsCountedAndPassedOver) {
  const std::string deep(100000, '[');
  const auto path =
      file("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \n{\"text\": 7}\n[\"text\"]\n" + deep +
                          "\n{\"x\": " + deep + "\n\"text\"\n{\"text\": \"\\ud800\"}\n" +
                          "{\"text\": \"two\"}\n");
  EXPECT_THAT(read(path), ElementsAre("one", "two"));
  EXPECT_EQ(report_.damaged_lines, 7);
  EXPECT_EQ(report_.lines, 9);
  EXPECT_THAT(report_.damage.front(), HasSubstr("a.jsonl:2: "));
  EXPECT_EQ(report_.damage.size(), 5U);
}

TEST_F(Corpus, MoreThan100DamagedLinesAreAnErrorThatNamesTheLine) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "broken\n";
  EXPECT_TRUE(read(file("a.jsonl", text + "{\"text\": \"one\"}\n")).size() == 1);
  const auto path = file("b.jsonl", text + "{\"text\": \"one\"}\nbroken\n");
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "b.jsonl:102: ", [&] { read(path); }));
}

TEST_F(Corpus, OnePercentOfManyLinesMayBeDamaged) {
  std::string good;
  for (int i = 0; i < 99; ++i) good += "{\"text\": \"good\"}\n";
  std::string text;
  for (int i = 0; i < 200; ++i) text += good + "broken\n";
  EXPECT_EQ(read(file("a.jsonl", text)).size(), 99U * 200);
  EXPECT_EQ(report_.damaged_lines, 200);
}

TEST_F(Corpus, ALineOver16MiBIsDamagedAndTheNextOneIsNot) {
  const std::string longest(std::size_t{16} << 20, 'x');
  EXPECT_THAT(read(file("a.txt", longest + "y\nshort\n"), true), ElementsAre("short"));
  EXPECT_EQ(report_.damaged_lines, 1);
  EXPECT_EQ(read(file("b.txt", longest + "\nshort\n"), true).size(), 2U);
}

TEST_F(Corpus, ADocumentOfTextIsCutAt16MiBSoThatMemoryStaysBounded) {
  const std::string line(std::size_t{1} << 20, 'x');
  std::string text;
  for (int i = 0; i < 20; ++i) text += line + "\n";
  const auto documents = read(file("a.txt", text));
  ASSERT_EQ(documents.size(), 2U);
  EXPECT_LE(documents[0].size(), (std::size_t{17} << 20) + 16);
}

TEST_F(Corpus, ConcatenatedGzipMembersAreOneText) {
  const auto path =
      file("a.json.gz", gzipped("{\"text\": \"one\"}\n{\"te") + gzipped("xt\": \"two\"}\n") +
                            gzipped("") + gzipped("{\"text\": \"three\"}\n"));
  EXPECT_THAT(read(path), ElementsAre("one", "two", "three"));
  EXPECT_EQ(report_.damaged_lines, 0);
}

TEST_F(Corpus, ABrokenGzipTailIsReportedAndTheFilesAfterAreRead) {
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += "line number " + std::to_string(i) + "\n";
  const std::string whole = gzipped(lines);
  const auto cut = file("a.txt.gz", whole.substr(0, whole.size() / 2));
  CorpusReader reader({cut, file("b.txt", "after")}, true);
  const auto documents = documents_of(reader);
  EXPECT_EQ(documents.front(), "line number 0");
  EXPECT_EQ(documents.back(), "after");
  EXPECT_GT(documents.size(), 1000U);
  EXPECT_EQ(reader.report().damaged_lines, 1);
  EXPECT_THAT(reader.report().damage.front(), HasSubstr("a.txt.gz:"));
}

TEST_F(Corpus, GarbageAfterAGzipMemberAndAFlippedByteAreReported) {
  read(file("a.txt.gz", gzipped("one\n") + "garbage"));
  EXPECT_EQ(report_.documents, 1);
  EXPECT_EQ(report_.damaged_lines, 1);
  std::string flipped = gzipped("one\n");
  flipped[flipped.size() - 6] ^= 1;  // in the checksum
  read(file("b.txt.gz", flipped));
  EXPECT_EQ(report_.damaged_lines, 1);
}

TEST_F(Corpus, AFileNamedGzThatIsNoneIsAnError) {
  for (const std::string bytes : {"", "x", "plain text"}) {
    const auto path = file("a.txt.gz", bytes);
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.txt.gz", [&] { read(path); }));
  }
}

TEST_F(Corpus, RandomBytesNeverCrashIt) {
  const RandomStream stream(1, Purpose::data_order, 0, 0);
  std::string bytes;
  for (std::uint64_t i = 0; i < 5000; ++i)
    for (const auto word : stream.block(0, i))
      bytes.append(reinterpret_cast<const char*>(&word), 4);
  read(file("a.txt", bytes));
  EXPECT_GT(report_.replaced_bytes, 0);
  const auto json = file("a.jsonl", bytes);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.jsonl:", [&] { read(json); }));
  read(file("a.txt.gz", gzipped("one\n") + bytes));
  EXPECT_EQ(report_.damaged_lines, 1);
}

TEST_F(Corpus, PatternsGiveSortedFilesEachOnce) {
  for (const char* name : {"b.txt", "a.txt", "c.jsonl"}) file(name, "x");
  const auto path = [&](const std::string& name) { return scratch_.path() + "/" + name; };
  EXPECT_THAT(expand_patterns(std::vector{path("c*"), path("*.txt"), path("a.txt")}),
              ElementsAre(path("a.txt"), path("b.txt"), path("c.jsonl")));
}

TEST_F(Corpus, APatternWithoutFilesAndAnUnknownFormatAreErrors) {
  const auto path = [&](const std::string& name) {
    return std::vector{scratch_.path() + "/" + name};
  };
  EXPECT_TRUE(
      fails_with(ExitCode::missing_input, "*.txt", [&] { expand_patterns(path("*.txt")); }));
  EXPECT_TRUE(
      fails_with(ExitCode::missing_input, "a.txt", [&] { expand_patterns(path("a.txt")); }));
  file("a.pdf", "x");
  EXPECT_TRUE(fails_with(ExitCode::usage, "a.pdf", [&] { expand_patterns(path("a.*")); }));
}

TEST(Utf8, RepairsWhatIsNotWellFormedAndNothingElse) {
  const auto repaired = [](std::string text) {
    const auto count = repair_utf8(text);
    return std::to_string(count) + " " + text;
  };
  const std::string bad = "\xEF\xBF\xBD",
                    good = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF";
  EXPECT_EQ(repaired(good), "0 " + good);
  EXPECT_EQ(repaired("a\xFFz"), "1 a" + bad + "z");
  EXPECT_EQ(repaired("\x80"), "1 " + bad);
  EXPECT_EQ(repaired("\xC3"), "1 " + bad);
  EXPECT_EQ(repaired("\xC0\x80"), "2 " + bad + bad);                      // overlong NUL
  EXPECT_EQ(repaired("\xED\xA0\x80"), "3 " + bad + bad + bad);            // a surrogate
  EXPECT_EQ(repaired("\xF4\x90\x80\x80"), "4 " + bad + bad + bad + bad);  // past U+10FFFF
  EXPECT_EQ(repaired("\xE2\x82"
                     "a"),
            "2 " + bad + bad + "a");
}

TEST(JsonText, WantsAnObjectWithTextAtTheTop) {
  EXPECT_EQ(json_text("{\"text\": \"a\"}"), "a");
  for (const char* line :
       {"", "{}", "[]", "[{\"text\": \"a\"}]", "{\"text\": null}", "{\"text\": [\"a\"]}",
        "{\"a\": {\"text\": \"b\"}}", "{\"text\": \"a\"} x", "{\"text\": \"a\""})
    EXPECT_EQ(json_text(line), std::nullopt) << line;
}

}  // namespace
}  // namespace switchyard
