// Trains the tokenizer: selects the text, runs SentencePiece, and turns its error messages into
// sentences.
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "data/corpus.hpp"
#include "data/file_patterns.hpp"
#include "data/ordered_pipeline.hpp"
#include "data/tokenizer.hpp"
#include "data/utf8.hpp"

namespace switchyard {

namespace {

constexpr std::int32_t fewest_with_bytes = 256 + 3 + 1;
constexpr std::size_t longest_sentence = 4000;  // bytes; SentencePiece drops sentences over 4,192

class Sentences final : public sentencepiece::SentenceIterator {
  // SentencePiece's own type or, in newer versions, Abseil's.
  using Status = decltype(std::declval<const SentenceIterator&>().status());

 public:
  explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
  bool done() const override { return at_ == sentences_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return sentences_[at_]; }
  Status status() const override { return {}; }

 private:
  const std::vector<std::string>& sentences_;
  std::size_t at_ = 0;
};

// Where to cut a text that is too long: after the last space within the limit, else between
// characters.
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

// The text of one file for the trainer: stretches spread evenly over the file, or all of it.
class FileSample {
 public:
  // share: how many bytes of text to take.
  FileSample(const std::string& file, const TokenizerTraining& training, std::int64_t share)
      : rules_(training.rules),
        file_(file, training.rules),
        size_(bytes_on_disk({&file, 1})),
        share_(share),
        whole_(share >= size_ && !file.ends_with(".gz")),
        stretches_(whole_ ? 1
                          : std::clamp<std::int64_t>(share / stretch_bytes, fewest_stretches, 64)) {
  }

  // The next decoded block; nullopt at the end.
  std::optional<CorpusBlock> next() {
    for (; stretch_ < stretches_; file_.skip_to(++stretch_ * size_ / stretches_)) {
      if (taken_ >= share_ * (stretch_ + 1) / stretches_) continue;
      auto block = file_.next(static_cast<std::size_t>(block_bytes()));
      if (!block) return std::nullopt;
      decode(*block, rules_);
      for (CorpusBlock::Record& record : block->records) {
        if (!whole_) shorten(record.text);
        taken_ += std::ssize(record.text);
      }
      return block;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::int64_t stretch_bytes = std::int64_t{16} << 10;
  static constexpr std::int64_t fewest_stretches = 4;

  std::int64_t block_bytes() const {
    constexpr std::int64_t largest = std::int64_t{256} << 10;
    return whole_ ? largest : std::clamp<std::int64_t>(share_ / stretches_ / 4, 1, largest);
  }
  // Shortens a document to a stretch's share of the text.
  void shorten(std::string& document) const {
    auto end = static_cast<std::size_t>(share_ / stretches_);
    if (document.size() <= end) return;
    while (end > 0 && (static_cast<unsigned char>(document[end]) & 0xC0) == 0x80) --end;
    document.resize(end);
  }

  const CorpusRules& rules_;
  CorpusFile file_;
  std::int64_t size_, share_;
  bool whole_;
  std::int64_t stretches_;
  std::int64_t stretch_ = 0, taken_ = 0;
};

std::vector<std::string> choose_sentences(const std::vector<std::string>& files,
                                          const TokenizerTraining& training) {
  const auto total = static_cast<double>(std::max<std::int64_t>(bytes_on_disk(files), 1));
  const auto share = [&](const std::string& file) {
    const auto size = static_cast<double>(bytes_on_disk({&file, 1}));
    return static_cast<std::int64_t>(static_cast<double>(training.text_bytes) * (size / total));
  };
  std::vector<std::string> sentences;
  CorpusReport report;
  std::vector<std::unique_ptr<FileSample>> open(files.size());
  PipelineStages<CorpusBlock, CorpusBlock> stages;
  stages.read = [&](std::size_t i) {
    if (!open[i]) open[i] = std::make_unique<FileSample>(files[i], training, share(files[i]));
    auto block = open[i]->next();
    if (!block) open[i].reset();
    return block;
  };
  stages.work = [](CorpusBlock block, std::size_t) { return block; };
  stages.consume = [&](const CorpusBlock& block) {
    report.add(block);
    for (const CorpusBlock::Record& record : block.records) add_sentences(record.text, sentences);
  };
  OrderedPipeline(files.size(), training.threads, stages).run();
  if (sentences.empty()) refuse_empty_corpus(files, report);
  return sentences;
}

// SentencePiece uses this character for unknown pieces, and skips sentences that contain it.
constexpr std::string_view reserved = "\xE2\x96\x85";  // ▅

void remove_reserved(std::vector<std::string>& sentences) {
  std::erase_if(sentences, [](const std::string& sentence) {
    return sentence.find(reserved) != sentence.npos;
  });
  if (sentences.empty())
    throw Error(ExitCode::missing_input,
                "every line of the text holds ▅ (U+2585), which SentencePiece keeps for itself",
                "replace that character, or give a --tokenizer");
}

// The number of distinct characters in the sentences, blanks excluded. SentencePiece would
// terminate the program if there were none.
std::int64_t count_characters(const std::vector<std::string>& sentences) {
  std::vector<bool> seen(0x110000);
  for (const std::string& sentence : sentences) {
    std::string_view rest = sentence;
    while (const std::size_t length = utf8_length(rest)) {
      seen[utf8_code_point(rest.substr(0, length))] = true;
      rest.remove_prefix(length);
    }
  }
  for (char32_t code = 0; code < seen.size(); ++code)
    if (seen[code] && normalizes_to_blank(code)) seen[code] = false;
  return std::count(seen.begin(), seen.end(), true);
}

double choose_coverage(std::int64_t characters) {
  constexpr std::int64_t most_kept = 1000;
  return characters <= most_kept ? 1.0 : 0.9995;
}

// The number that follows `words` in the trainer's error message.
std::string number_after(const std::string& words, const std::string& complaint) {
  const std::size_t at = complaint.find(words);
  if (at == std::string::npos) return "";
  const std::string rest = complaint.substr(at + words.size());
  return rest.substr(0, rest.find_first_not_of("0123456789"));
}

[[noreturn]] void throw_training_error(const std::string& complaint,
                                       const TokenizerTraining& training) {
  const std::string wanted = "--vocab-size " + std::to_string(training.pieces);
  if (const auto most = number_after("set it to a value <= ", complaint); !most.empty())
    throw Error(ExitCode::usage,
                wanted + " is more than this text supports: at most " + most + " pieces",
                "ask for " + most + " or fewer, or give more text");
  if (const auto fewest =
          number_after("required_chars. " + std::to_string(training.pieces) + " vs ", complaint);
      !fewest.empty())
    throw Error(ExitCode::usage,
                wanted + " is too few: the characters of this text alone need " + fewest +
                    " pieces" + (training.byte_fallback ? ", bytes included" : ""),
                "ask for more than " + fewest +
                    ", or leave rare characters unknown with --character-coverage 0.9995");
  if (training.byte_fallback && training.pieces < fewest_with_bytes)
    throw Error(ExitCode::usage, wanted + " is too few: --byte-fallback alone takes 256 pieces",
                "ask for more, or leave --byte-fallback out");
  throw Error(ExitCode::usage, wanted + ": no tokenizer can be trained on this text: " + complaint);
}

}  // namespace

bool normalizes_to_blank(char32_t code) {
  const auto among = [&](char32_t first, char32_t last) { return code >= first && code <= last; };
  return among(0, 0x20) || code == 0x7F || code == 0x8F || code == 0x9F || code == 0xA0 ||
         code == 0x1680 || among(0x2000, 0x200C) || among(0x200E, 0x200F) ||
         among(0x2028, 0x2029) || code == 0x202F || code == 0x205F || code == 0x2581 ||
         code == 0x3000 || code == 0xFEFF || code == 0xFFFD;
}

std::string train_tokenizer(std::span<const std::string> files, const TokenizerTraining& training) {
  auto sentences = choose_sentences({files.begin(), files.end()}, training);
  remove_reserved(sentences);
  const std::int64_t characters = count_characters(sentences);
  if (characters == 0)
    throw Error(ExitCode::missing_input,
                "the text holds nothing but blanks: no tokenizer can be made of it",
                "check the files' contents");
  const double coverage = training.character_coverage.value_or(choose_coverage(characters));
  Sentences iterator(sentences);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      {{"model_type", "unigram"},
       {"vocab_size", std::to_string(training.pieces)},
       {"pad_id", std::to_string(Vocabulary::pad)},
       {"eos_id", std::to_string(Vocabulary::eos)},
       {"unk_id", std::to_string(Vocabulary::unknown)},
       {"bos_id", "-1"},
       {"character_coverage", std::to_string(coverage)},
       {"byte_fallback", training.byte_fallback ? "true" : "false"},
       // Sums are split by thread, so a fixed number of threads keeps the model the same on any
       // machine.
       {"num_threads", "8"},
       {"minloglevel", "3"}},
      &iterator, &model);
  if (!status.ok()) throw_training_error(status.ToString(), training);
  return model;
}

}  // namespace switchyard
