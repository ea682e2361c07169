// Trains the tokenizer: chooses the text, asks SentencePiece, and turns its complaints into
// sentences.
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "data/corpus.hpp"
#include "data/tokenizer.hpp"

namespace switchyard {

namespace {

constexpr std::size_t longest_sentence = 4000;  // bytes; SentencePiece drops sentences over 4,192

class Sentences final : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& sentences_;
  std::size_t at_ = 0;
};

// Where to cut a text that is too long: after the last space in reach, else between characters.
std::size_t sentence_end(std::string_view text) {
  if (text.size() <= longest_sentence) return text.size();
  const std::size_t space = text.find_last_of(' ', longest_sentence - 1);
  if (space != std::string_view::npos && space > 0) return space;
  std::size_t end = longest_sentence;
  while (end > 1 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return end;
}

void add_sentences(std::string_view document, std::vector<std::string>& sentences) {
  while (!document.empty()) {
    const std::size_t line_end = std::min(document.find('\n'), document.size());
    std::string_view line = document.substr(0, line_end);
    document.remove_prefix(std::min(line_end + 1, document.size()));
    while (!line.empty()) {
      const std::size_t end = sentence_end(line);
      sentences.emplace_back(line.substr(0, end));
      line.remove_prefix(end);
    }
  }
}

std::vector<std::string> choose_sentences(std::span<const std::string> files,
                                          const TokenizerTraining& training) {
  const auto size = [](const std::string& file) {
    return static_cast<double>(std::filesystem::file_size(file));
  };
  double total = 0;
  for (const std::string& file : files) total += size(file);

  std::vector<std::string> sentences;
  for (const std::string& file : files) {
    const auto share = static_cast<std::int64_t>(static_cast<double>(training.text_bytes) *
                                                 (size(file) / std::max(total, 1.0)));
    CorpusReader reader({file}, training.line_is_document);
    std::int64_t taken = 0;
    while (taken <= share) {
      const auto document = reader.next();
      if (!document) break;
      taken += static_cast<std::int64_t>(document->size());
      add_sentences(*document, sentences);
    }
  }
  return sentences;
}

// The number that follows `words` in the trainer's complaint.
std::string number_after(const std::string& words, const std::string& complaint) {
  const std::size_t at = complaint.find(words);
  if (at == std::string::npos) return "";
  const std::string rest = complaint.substr(at + words.size());
  return rest.substr(0, rest.find_first_not_of("0123456789"));
}

[[noreturn]] void throw_training_error(const std::string& complaint, std::int32_t pieces) {
  const std::string wanted = "--vocab-size " + std::to_string(pieces);
  if (const auto most = number_after("set it to a value <= ", complaint); !most.empty())
    throw Error(ExitCode::usage,
                wanted + " is more than this text supports: at most " + most + " pieces",
                "ask for " + most + " or fewer, or give more text");
  if (const auto fewest =
          number_after("required_chars. " + std::to_string(pieces) + " vs ", complaint);
      !fewest.empty())
    throw Error(
        ExitCode::usage,
        wanted + " is too few: the characters of this text alone need " + fewest + " pieces",
        "ask for more than " + fewest);
  throw Error(ExitCode::usage, wanted + ": no tokenizer can be trained on this text: " + complaint);
}

}  // namespace

std::string train_tokenizer(std::span<const std::string> files, const TokenizerTraining& training) {
  const auto sentences = choose_sentences(files, training);
  if (sentences.empty())
    throw Error(ExitCode::missing_input, "there is no text to train a tokenizer on");
  Sentences iterator(sentences);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      {{"model_type", "unigram"},
       {"vocab_size", std::to_string(training.pieces)},
       {"pad_id", std::to_string(Vocabulary::pad)},
       {"eos_id", std::to_string(Vocabulary::eos)},
       {"unk_id", std::to_string(Vocabulary::unknown)},
       {"bos_id", "-1"},
       {"byte_fallback", "false"},
       // Sums are taken a thread at a time: a fixed number keeps the model the same on any machine.
       {"num_threads", "8"},
       {"minloglevel", "3"}},
      &iterator, &model);
  if (!status.ok()) throw_training_error(status.ToString(), training.pieces);
  return model;
}

}  // namespace switchyard
