#include "data/tokenizer.hpp"

#include <gtest/gtest.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <span>
#include <sstream>
#include <variant>

#include "base/philox.hpp"
#include "corpus_files.hpp"
#include "data/utf8.hpp"
#include "dataset.pb.h"
#include "support/errors.hpp"

namespace switchyard {
namespace {

using test::error_of;
using test::fails_with;
using test::small_model;
using test::write_text;

class Tokenizers : public testing::Test {
 protected:
  test::ScratchDirectory scratch_;
};

// libsentencepiece contains a protobuf of its own: a shared libprotobuf in the same process crashes
// when it is loaded.
TEST_F(Tokenizers, WorkBesideProtobufInOneProcess) {
  DatasetInfo info, copy;
  info.set_pieces(300);
  ASSERT_TRUE(copy.ParseFromString(info.SerializeAsString()));
  const Tokenizer tokenizer(small_model(scratch_), "model");
  EXPECT_EQ(tokenizer.vocabulary().pieces, copy.pieces());
  EXPECT_FALSE(tokenizer.encode("some text").empty());
}

TEST_F(Tokenizers, TrainTheSameModelAgain) {
  const std::string model = small_model(scratch_);
  EXPECT_EQ(small_model(scratch_), model);
  EXPECT_EQ(Tokenizer(model, "model").sha256().size(), 64U);
}

TEST_F(Tokenizers, EncodeAndDecodeGiveTheTextBack) {
  const Tokenizer tokenizer(small_model(scratch_), "model");
  const std::string text = test::synthetic_text(1, 30), line = text.substr(0, text.size() - 1);
  const auto ids = tokenizer.encode(line);
  for (const auto id : ids) EXPECT_TRUE(tokenizer.vocabulary().is_text(id));
  EXPECT_EQ(tokenizer.decode(ids), line);
}

TEST_F(Tokenizers, TextCannotSmuggleInSpecialIds) {
  const Tokenizer tokenizer(small_model(scratch_), "model");
  for (const char* text :
       {"", "</s>", "<pad>", "<unk>", "<s>", "<extra_id_0>", "a\xE2\x96\x81 b", "\xE7\x88\xB1"})
    for (const auto id : tokenizer.encode(text))
      EXPECT_TRUE(tokenizer.vocabulary().is_text(id)) << text;
  EXPECT_EQ(tokenizer.encode(std::string_view("ba\0ba", 5)).empty(), false);
}

TEST_F(Tokenizers, DecodeShowsWhatIsNoText) {
  const Tokenizer tokenizer(small_model(scratch_), "model");
  const Vocabulary vocabulary = tokenizer.vocabulary();
  std::vector<std::int32_t> ids = tokenizer.encode("ba");
  ids.push_back(vocabulary.sentinel(0));
  const auto more = tokenizer.encode("du");
  ids.insert(ids.end(), more.begin(), more.end());
  ids.insert(ids.end(),
             {vocabulary.sentinel(99), Vocabulary::eos, Vocabulary::pad, vocabulary.ids()});
  EXPECT_EQ(tokenizer.decode(ids), "ba<extra_id_0> du<extra_id_99></s><pad><id 400>");
  EXPECT_EQ(tokenizer.decode({}), "");
}

TEST_F(Tokenizers, APieceShowsWhereAWordBegins) {
  const Tokenizer tokenizer(small_model(scratch_), "model");
  const Vocabulary vocabulary = tokenizer.vocabulary();
  const std::string line = test::synthetic_text(1, 30);
  std::string pieces, expected = "▁";
  for (const auto id : tokenizer.encode(line)) pieces += tokenizer.piece(id);
  for (const char c : line.substr(0, line.size() - 1))
    expected += c == ' ' ? std::string("▁") : std::string(1, c);
  EXPECT_EQ(pieces, expected);
  EXPECT_EQ(tokenizer.piece(Vocabulary::unknown), "<unk>");
  EXPECT_EQ(tokenizer.piece(Vocabulary::eos), "</s>");
  EXPECT_EQ(tokenizer.piece(Vocabulary::pad), "<pad>");
  EXPECT_EQ(tokenizer.piece(vocabulary.sentinel(7)), "<extra_id_7>");
  EXPECT_EQ(tokenizer.piece(vocabulary.ids()), "<id 400>");
}

TEST_F(Tokenizers, TooManyPiecesNameTheLargestPossibleNumber) {
  const std::vector<std::string> files{
      write_text(scratch_.path() + "/a.txt", test::synthetic_text(20, 10))};
  TokenizerTraining training;
  training.rules.line_is_document = true;
  training.pieces = 100000;
  const std::string error = error_of([&] { train_tokenizer(files, training); });
  EXPECT_TRUE(fails_with(ExitCode::usage, "at most", [&] { train_tokenizer(files, training); }));
  training.pieces = std::stoi(error.substr(error.find("at most ") + 8));
  EXPECT_EQ(Tokenizer(train_tokenizer(files, training), "model").vocabulary().pieces,
            training.pieces);
  training.pieces = 5;
  EXPECT_TRUE(fails_with(ExitCode::usage, "too few", [&] { train_tokenizer(files, training); }));
}

TEST_F(Tokenizers, TextOfOneLongLineIsTrainedOnInPieces) {
  std::string text = test::synthetic_text(200, 40);
  std::replace(text.begin(), text.end(), '\n', ' ');
  const std::vector<std::string> files{write_text(scratch_.path() + "/a.txt", text)};
  TokenizerTraining training;
  training.pieces = 300;
  EXPECT_EQ(Tokenizer(train_tokenizer(files, training), "model").vocabulary().pieces, 300);
}

// 400 lines, each of a different character; the trainer may see a tenth of them.
TEST_F(Tokenizers, TheTrainersTextIsSpreadOverEachFileAndBounded) {
  std::string words = test::synthetic_text(2000, 10);
  std::replace(words.begin(), words.end(), '\n', ' ');
  std::string text;
  for (char32_t i = 0; i < 400; ++i) {
    std::string character;
    append_utf8(character, 0x4E00 + i);
    for (int repeat = 0; repeat < 10; ++repeat) text += character;
    text += ' ' + words.substr(i * 60, 60) + '\n';
  }
  const std::string path = scratch_.path() + "/a";
  TokenizerTraining training;
  training.pieces = 90;
  training.rules.line_is_document = true;
  training.text_bytes = static_cast<std::int64_t>(text.size()) / 10;
  const auto known = [&](const std::string& file) {
    const Tokenizer tokenizer(train_tokenizer(std::vector{file}, training), "model");
    std::vector<char32_t> characters;
    for (char32_t i = 0; i < 400; ++i) {
      std::string character;
      append_utf8(character, 0x4E00 + i);
      if (tokenizer.encode(character).back() != Vocabulary::unknown) characters.push_back(i);
    }
    return characters;
  };
  for (const auto& characters : {known(write_text(path + ".txt", text)),
                                 known(write_text(path + ".txt.gz", test::gzipped(text)))}) {
    EXPECT_GE(characters.size(), 20U);
    EXPECT_LE(characters.size(), 60U);
    for (const char32_t quarter : {0U, 100U, 200U, 300U})
      EXPECT_TRUE(std::any_of(characters.begin(), characters.end(), [&](char32_t i) {
        return i >= quarter && i < quarter + 100;
      })) << static_cast<std::uint32_t>(quarter);
  }
  training.threads = 3;
  const std::vector files = {path + ".txt", path + ".txt.gz", path + ".txt"};
  const std::string model = train_tokenizer(files, training);
  training.threads = 1;
  EXPECT_EQ(train_tokenizer(files, training), model);
}

// Lines of random words from random characters of these ranges, the same on every call.
std::string text_in(std::span<const std::pair<char32_t, char32_t>> ranges, int lines) {
  const RandomStream stream(3, Purpose::data_order, 0, 0);
  std::string text;
  std::uint64_t drawn = 0;
  const auto draw = [&](std::uint64_t below) { return stream.block(1, drawn++)[0] % below; };
  for (int line = 0; line < lines; ++line) {
    for (int word = 0; word < 12; ++word) {
      if (word > 0) text += ' ';
      const auto& [first, last] = ranges[draw(ranges.size())];
      for (std::uint64_t left = 1 + draw(6); left > 0; --left)
        append_utf8(text, first + static_cast<char32_t>(draw(last - first + 1)));
    }
    text += '\n';
  }
  return text;
}

// Characters that normalisation leaves unchanged: ASCII, Latin, Greek, Cyrillic, Hebrew, some Han.
constexpr std::pair<char32_t, char32_t> scripts[] = {
    {'!', '~'}, {0xC0, 0xFF}, {0x3B1, 0x3C9}, {0x410, 0x44F}, {0x5D0, 0x5EA}, {0x4E00, 0x4E3F}};

class TokenizersOfManyCharacters : public Tokenizers {
 protected:
  TokenizersOfManyCharacters() { training_.rules.line_is_document = true; }
  Tokenizer train(const std::string& text, std::int32_t pieces) {
    training_.pieces = pieces;
    const std::vector files = {write_text(scratch_.path() + "/a.txt", text)};
    return {train_tokenizer(files, training_), "model"};
  }
  static std::int64_t lines_lost(const Tokenizer& tokenizer, const std::string& text) {
    std::istringstream lines(text);
    std::int64_t lost = 0;
    for (std::string line; std::getline(lines, line);)
      lost += tokenizer.decode(tokenizer.encode(line)) == line ? 0 : 1;
    return lost;
  }
  TokenizerTraining training_;
};

TEST_F(TokenizersOfManyCharacters, WriteEveryDocumentBack) {
  std::string text = text_in(scripts, 400);
  text += "once: \xC4\xB0 \xE2\x82\xAC\n";  // rare as can be
  const Tokenizer tokenizer = train(text, 1000);
  EXPECT_EQ(lines_lost(tokenizer, text), 0);
}

TEST_F(TokenizersOfManyCharacters, LeaveOutTheRarestOnlyWhereTheyAreAskedToOrMoreThan1000) {
  constexpr std::pair<char32_t, char32_t> few[] = {{'a', 'z'}};
  constexpr std::pair<char32_t, char32_t> han[] = {{0x4E00, 0x4E00 + 1100}};
  const std::string common = text_in(few, 400), rare = "\xC7\xB4\n";
  training_.character_coverage = 0.9995;
  EXPECT_EQ(lines_lost(train(common + rare, 100), rare), 1);
  training_.character_coverage.reset();
  EXPECT_EQ(lines_lost(train(common + rare, 100), rare), 0);
  const std::string many = common + common + text_in(han, 300);
  EXPECT_GT(lines_lost(train(many + rare, 1400), many), 0);
  training_.character_coverage = 1;
  EXPECT_EQ(lines_lost(train(many + rare, 1400), many), 0);
}

TEST_F(TokenizersOfManyCharacters, WithBytesKnowEveryOther) {
  constexpr std::pair<char32_t, char32_t> few[] = {{'a', 'z'}};
  training_.byte_fallback = true;
  const Tokenizer tokenizer = train(text_in(few, 200), 400);
  const std::string others = text_in(scripts, 50);
  EXPECT_EQ(lines_lost(tokenizer, others), 0);
  for (const auto id : tokenizer.encode(others)) EXPECT_NE(id, Vocabulary::unknown);
  EXPECT_TRUE(fails_with(ExitCode::usage, "too few", [&] { train(others, 200); }));
  EXPECT_TRUE(fails_with(ExitCode::usage, "too few", [&] { train(others, 270); }));
}

TEST_F(TokenizersOfManyCharacters, TellTheCharactersThatTheyDoNotKnow) {
  const Tokenizer tokenizer = train(test::synthetic_text(200, 40), 300);
  TextEncoder encoder(tokenizer);
  encoder.encode("ba be");
  EXPECT_TRUE(encoder.unknown_characters(5).empty());
  encoder.encode("ba \xCE\xB2\xCE\xB3 be \xCE\xB2Q");
  EXPECT_EQ(encoder.unknown_characters(5), (std::vector<std::string>{"\xCE\xB2", "\xCE\xB3", "Q"}));
  EXPECT_EQ(encoder.unknown_characters(1), (std::vector<std::string>{"\xCE\xB2"}));
}

TEST_F(TokenizersOfManyCharacters, KnowWhatNormalisationMakesBlank) {
  const Tokenizer tokenizer = train(test::synthetic_text(200, 40), 300);
  std::vector<std::uint32_t> wrong;
  for (char32_t code = 1; code < 0x30000; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    std::string character;
    append_utf8(character, code);
    if (tokenizer.encode(character).empty() != normalizes_to_blank(code))
      wrong.push_back(static_cast<std::uint32_t>(code));
  }
  EXPECT_TRUE(wrong.empty()) << testing::PrintToString(wrong);
}

TEST_F(TokenizersOfManyCharacters, CannotBeMadeOfBlanksOrOfReservedLines) {
  std::string blanks, reserved;
  for (int i = 0; i < 600; ++i) {
    blanks += " \xC2\xA0 \xE3\x80\x80 \xE2\x80\x8B\n";
    reserved += "\xE2\x96\x85 " + test::synthetic_text(1, 10);
  }
  EXPECT_TRUE(
      fails_with(ExitCode::missing_input, "nothing but blanks", [&] { train(blanks, 200); }));
  EXPECT_TRUE(fails_with(ExitCode::missing_input, "U+2585", [&] { train(reserved, 200); }));
  // Some lines with the reserved character do no harm.
  train(reserved + test::synthetic_text(200, 40), 300);
  // A short text is either refused with a message or gives a tokenizer.
  for (const char* text :
       {"a", "a a a a", "ab\nab\n", "\xE2\x96\x81\xE2\x96\x81 a", "a\xE2\x96\x85\nb"})
    for (const std::int32_t pieces : {4, 5, 6, 20}) error_of([&] { train(text, pieces); });
}

TEST_F(Tokenizers, WithSentinelsAmongTheirPiecesAreRefusedHoweverTheyAreSpelt) {
  const std::string file = write_text(scratch_.path() + "/a.txt", test::synthetic_text(200, 40));
  for (const std::string mark : {"", "\xE2\x96\x81"}) {
    std::string symbols;
    for (int k = 0; k < 100; ++k)
      symbols += (k > 0 ? "," : "") + mark + "<extra_id_" + std::to_string(k) + ">";
    ASSERT_TRUE(sentencepiece::SentencePieceTrainer::Train({{"input", file},
                                                            {"model_prefix", file},
                                                            {"vocab_size", "390"},
                                                            {"pad_id", "0"},
                                                            {"eos_id", "1"},
                                                            {"unk_id", "2"},
                                                            {"bos_id", "-1"},
                                                            {"user_defined_symbols", symbols},
                                                            {"minloglevel", "3"}})
                    .ok());
    EXPECT_TRUE(fails_with(ExitCode::usage, "x.model has the sentinels among its pieces already",
                           [&] { Tokenizer(test::read_bytes(file + ".model"), "x.model"); }))
        << mark;
  }
}

TEST_F(Tokenizers, ReadSentinelsInATextWhereTheyAreAskedTo) {
  const Tokenizer tokenizer(small_model(scratch_), "model");
  const auto sentinel = [&](int k) { return tokenizer.vocabulary().sentinel(k); };
  const auto expected = [&](std::initializer_list<std::variant<std::string, int>> parts) {
    std::vector<std::int32_t> ids;
    for (const auto& part : parts) {
      if (const int* k = std::get_if<int>(&part)) ids.push_back(sentinel(*k));
      if (const auto* text = std::get_if<std::string>(&part))
        for (const auto id : tokenizer.encode(*text)) ids.push_back(id);
    }
    return ids;
  };
  const auto read = [&](std::string_view text) { return tokenizer.encode_with_sentinels(text); };
  EXPECT_EQ(read("ba be du"), tokenizer.encode("ba be du"));
  EXPECT_EQ(read("<extra_id_0>"), expected({0}));
  EXPECT_EQ(read("ba <extra_id_0> be <extra_id_99>"), expected({"ba", 0, "be", 99}));
  EXPECT_EQ(read("<extra_id_1><extra_id_2>du"), expected({1, 2, "du"}));
  EXPECT_EQ(read("<<extra_id_7>"), expected({"<", 7}));
  for (const char* text : {"<extra_id_100>", "<extra_id_>", "<extra_id_-1>", "<extra_id_01>",
                           "<extra_id_1", "<extra_id_1 >", "<extra_id_x>", ""})
    EXPECT_EQ(read(text), tokenizer.encode(text)) << text;
}

TEST_F(Tokenizers, WhatIsNoModelIsDamaged) {
  for (const std::string& bytes : {std::string(), std::string("text"), std::string(1000, '\xff')}) {
    EXPECT_TRUE(
        fails_with(ExitCode::damaged_data, "x.model", [&] { Tokenizer(bytes, "x.model"); }));
    EXPECT_EQ(error_of([&] { try_tokenizer_model(bytes, "x.model"); }), "");
  }
}

TEST_F(Tokenizers, ATrialPassesAGoodModel) {
  const std::string model = small_model(scratch_);
  EXPECT_EQ(error_of([&] { try_tokenizer_model(model, "x.model"); }), "");
}

// The normaliser's trie fills most of the model: when it is damaged, older versions of
// SentencePiece access memory outside of it, and newer ones refuse it when it is loaded.
TEST_F(Tokenizers, AModelThatMayCrashSentencePieceIsDamaged) {
  std::string model = small_model(scratch_);
  const std::size_t trie = model.find("nmt_nfkc");
  ASSERT_NE(trie, std::string::npos);
  for (std::size_t i = trie + 100; i < trie + 100000 && i + 4 < model.size(); ++i)
    model[i] = '\x7f';
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "x.model", [&] {
    try_tokenizer_model(model, "x.model");
    Tokenizer(model, "x.model");
  }));
}

}  // namespace
}  // namespace switchyard
