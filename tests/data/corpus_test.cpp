#include "data/corpus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

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
    CorpusReader reader(files, {.line_is_document = lines, .text_key = text_key_});
    auto documents = documents_of(reader);
    report_ = reader.report();
    if (report_.damaged_lines == 0) {
      EXPECT_EQ(report_.bytes, bytes_on_disk(files));
    }
    return documents;
  }
  test::ScratchDirectory scratch_;
  std::string text_key_ = "text";
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
  EXPECT_THAT(
      report_.damage.front(),
      HasSubstr("a.txt:1: a line of 16777217 bytes, longer than 16 MiB: all of it is lost"));
  EXPECT_EQ(read(file("b.txt", longest + "\nshort\n"), true).size(), 2U);
}

TEST_F(Corpus, OfLongLinesAloneNoDocumentIsLeftAndTheReasonIsSaid) {
  const std::vector files = {file("a.txt", std::string((std::size_t{16} << 20) + 5, 'x'))};
  read(files.front());
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.txt:1: a line of 16777221 bytes",
                         [&] { refuse_empty_corpus(files, report_); }));
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "no text in",
                         [&] { refuse_empty_corpus(files, CorpusReport()); }));
}

TEST_F(Corpus, ACarriageReturnAloneEndsALineWhereNothingElseDoes) {
  EXPECT_THAT(read(file("a.txt", "one\rtwo\r\rthree"), true), ElementsAre("one", "two", "three"));
  EXPECT_THAT(read(file("a.txt", "one\rtwo\r\rthree\r")), ElementsAre("one\ntwo", "three"));
  EXPECT_THAT(read(file("a.txt", "one\rtwo\r\r\nthree\n")), ElementsAre("one\rtwo\r\nthree"));
  const std::string first(300000, 'x');  // longer than the part of the file that is examined first
  EXPECT_THAT(read(file("b.txt", "a\r" + first + "\r\nb\nc\r\r\nd"), true),
              ElementsAre("a", first, "b", "c", "d"));
}

// Converts ASCII to UTF-16 or UTF-32.
std::string widened(const std::string& ascii, std::size_t width, bool big_end) {
  std::string text;
  for (const char c : ascii) {
    std::string character(width, '\0');
    character[big_end ? width - 1 : 0] = c;
    text += character;
  }
  return text;
}

TEST_F(Corpus, WhatIsNoTextIsNamedBeforeItIsRead) {
  std::string lines;
  for (int i = 0; i < 300; ++i) lines += "line number " + std::to_string(i) + "\n";
  const std::string program = std::string("\x7f") + "ELF" + std::string(100, '\0');
  const std::pair<std::string, const char*> files[] = {
      {"\xFF\xFE" + widened(lines, 2, false), "a.txt is text in UTF-16, not UTF-8"},
      {"\xFE\xFF" + widened(lines, 2, true), "text in UTF-16, not UTF-8"},
      {std::string("\xFF\xFE\0\0", 4) + widened(lines, 4, false), "text in UTF-32"},
      {std::string("\0\0\xFE\xFF", 4) + widened(lines, 4, true), "text in UTF-32"},
      {widened(lines, 2, false), "text in UTF-16LE without a byte order mark"},
      {widened(lines, 2, true), "text in UTF-16BE without"},
      {widened(lines, 4, false), "text in UTF-32LE without"},
      {widened(lines, 4, true), "text in UTF-32BE without"},
      {gzipped(lines), "gzip data, not UTF-8 text"},
      {program, "a program, not"},
      {"%PDF-1.7 x", "a PDF document"},
      {lines + std::string(1, '\0'), "no text in UTF-8: byte "},
  };
  for (const auto& [bytes, words] : files) {
    const auto path = file("a.txt", bytes), packed = file("a.txt.gz", gzipped(bytes));
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, words, [&] { read(path); }));
    if (bytes != gzipped(lines)) {
      EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.txt.gz is ", [&] { read(packed); }));
    }
  }
}

TEST_F(Corpus, ANulFurtherOnIsNamedWithItsLine) {
  std::string lines;
  for (int i = 0; i < 10000; ++i) lines += "line number " + std::to_string(i) + "\n";
  const auto path = file("a.txt", lines + std::string("a\0b\n", 4));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.txt:10001: a NUL", [&] { read(path); }));
}

TEST_F(Corpus, JsonThatIsNoLinesIsCalledThat) {
  const std::pair<const char*, const char*> files[] = {
      {"[{\"text\": \"a\"},\n {\"text\": \"b\"}]",
       "a.json is a JSON array, not one object per line"},
      {" \n[\n", "a.json is a JSON array"},
      {"\xEF\xBB\xBF{\n  \"text\": \"a\"\n}\n", "a.json is JSON that goes over several lines"},
  };
  for (const auto& [text, words] : files) {
    const auto path = file("a.json", text), packed = file("a.json.gz", gzipped(text));
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, words, [&] { read(path); }));
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.json.gz is", [&] { read(packed); }));
    EXPECT_EQ(read(file("a.txt", text)).empty(), false) << "a text may begin so";
  }
}

TEST_F(Corpus, TheTextOfJsonIsUnderTheKeyThatIsAskedFor) {
  const auto path = file("a.jsonl", "{\"content\": \"one\", \"url\": \"x\"}\n");
  EXPECT_TRUE(read(path).empty());
  EXPECT_THAT(report_.damage.front(),
              HasSubstr("no string under \"text\"; its keys are \"content\", \"url\""));
  text_key_ = "content";
  EXPECT_THAT(read(path), ElementsAre("one"));
}

TEST_F(Corpus, BytesThatAreNotUtf8AreReportedByFile) {
  std::string lines = "caf\xE9\n";
  for (int i = 0; i < 98; ++i) lines += "line\n";
  EXPECT_EQ(read(file("a.txt", lines + "fa\xE7"
                                       "ade \xE0 la\n"),
                 true)[0],
            "caf\xEF\xBF\xBD");
  EXPECT_THAT(report_.repaired,
              ElementsAre(HasSubstr("a.txt: 3 bytes in 2 lines were not UTF-8, the first 0xE9 in "
                                    "line 1: Latin-1 or Windows-1252")));
  CorpusReader reader(
      {file("b.txt", "x\xC8\xC9\n"), file("c.txt", "good\n"), file("d.txt", "\x80\n")}, {});
  documents_of(reader);
  EXPECT_THAT(reader.report().repaired,
              ElementsAre(testing::AllOf(HasSubstr("b.txt: 2 bytes in 1 line"),
                                         testing::Not(HasSubstr("Latin-1"))),
                          HasSubstr("d.txt: 1 byte in 1 line was not UTF-8, the first 0x80")));
}

TEST_F(Corpus, AFileOfAnotherEncodingIsRefusedByName) {
  std::string latin1, koi8, good;
  for (int i = 0; i < 150; ++i)
    latin1 += "caf\xE9 cr\xE8me\n", koi8 += "\xF0\xD2\xC9\xD7\xC5\xD4\n";
  for (int i = 0; i < 9900; ++i) good += "line\n";
  const auto first = file("good.txt", good), second = file("latin.txt", latin1);
  const auto read_both = [&] {
    CorpusReader reader({first, second}, {.line_is_document = true});
    documents_of(reader);
  };
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "latin.txt: 202 bytes in 101 lines", read_both));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "Latin-1 or Windows-1252", read_both));
  const auto russian = file("koi8.txt", koi8);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "koi8.txt: ", [&] { read(russian, true); }));
  std::replace(latin1.begin(), latin1.end(), '\n', ' ');
  const auto one_line = file("line.txt", latin1 + latin1 + latin1 + latin1);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "line.txt: 1200 bytes in 1 line",
                         [&] { read(one_line); }));
  EXPECT_EQ(read(file("rare.txt", good + good + latin1.substr(0, 12) + "\n"), true).size(), 19801U);
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
  CorpusReader reader({cut, file("b.txt", "after")}, {.line_is_document = true});
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
  const auto text = file("a.txt", bytes), json = file("a.jsonl", bytes);
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.txt is no text", [&] { read(text); }));
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "a.jsonl is no text", [&] { read(json); }));
  std::erase(bytes, '\0');
  for (const bool lines : {false, true}) {
    const auto more = file("b.txt", bytes), more_json = file("b.jsonl", bytes);
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "b.txt: ", [&] { read(more, lines); }));
    EXPECT_TRUE(fails_with(ExitCode::damaged_data, "b.jsonl:", [&] { read(more_json, lines); }));
  }
  read(file("a.txt.gz", gzipped("one\n") + bytes));
  EXPECT_EQ(report_.damaged_lines, 1);
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
  EXPECT_EQ(json_text("{\"text\": \"a\"}", "text").text, "a");
  EXPECT_EQ(json_text("{\"text\": \"a\", \"body\": \"b\"}", "body").text, "b");
  const std::pair<const char*, const char*> lines[] = {
      {"", "not JSON at byte"},
      {"{}", "no string under \"text\"; it has no keys"},
      {"[]", "a JSON array"},
      {"[{\"text\": \"a\"}]", "a JSON array"},
      {"7", "a number, not a JSON object"},
      {"{\"text\": null}", "what is under \"text\" is null"},
      {"{\"text\": [\"a\"]}", "what is under \"text\" is an array"},
      {"{\"text\": {\"text\": \"b\"}}", "what is under \"text\" is an object"},
      {"{\"a\": {\"text\": \"b\"}, \"url\": \"c\"}",
       "no string under \"text\"; its keys are \"a\", \"url\""},
      {"{\"text\": \"a\"} x", "not JSON at byte 15"},
      {"{\"text\": \"a\"", "not JSON at byte"},
  };
  for (const auto& [line, problem] : lines) {
    const JsonText found = json_text(line, "text");
    EXPECT_EQ(found.text, std::nullopt) << line;
    EXPECT_THAT(found.problem, HasSubstr(problem)) << line;
  }
}

}  // namespace
}  // namespace switchyard
