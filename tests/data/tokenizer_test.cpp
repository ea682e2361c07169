#include "data/tokenizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "corpus_files.hpp"
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

// libsentencepiece carries a protobuf of its own: a shared one beside it kills the process at load.
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
  training.line_is_document = true;
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

TEST_F(Tokenizers, TheTrainerSeesNoMoreTextThanAllowed) {
  // The second half is of other letters, which a trainer bounded to the first half cannot know.
  const std::vector<std::string> files{
      write_text(scratch_.path() + "/a.txt",
                 test::synthetic_text(100, 40) + std::string(100000, 'Q') + "\nQ Q\n")};
  TokenizerTraining training;
  training.pieces = 200;
  training.line_is_document = true;
  training.text_bytes = 8000;
  const Tokenizer tokenizer(train_tokenizer(files, training), "model");
  const auto ids = tokenizer.encode("QQ");
  EXPECT_EQ(ids.back(), Vocabulary::unknown);
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

// The normaliser's trie fills most of the model: wrecked, it sends SentencePiece out of its memory.
TEST_F(Tokenizers, ATrialSurvivesAModelThatCrashesSentencePiece) {
  std::string model = small_model(scratch_);
  const std::size_t trie = model.find("nmt_nfkc");
  ASSERT_NE(trie, std::string::npos);
  for (std::size_t i = trie + 100; i < trie + 100000 && i + 4 < model.size(); ++i)
    model[i] = '\x7f';
  EXPECT_TRUE(fails_with(ExitCode::damaged_data, "x.model",
                         [&] { try_tokenizer_model(model, "x.model"); }));
}

}  // namespace
}  // namespace switchyard
