// Text to ids and back: a SentencePiece model with T5's conventions, either trained here or given.
// This folder is the only one that uses SentencePiece; ids beyond the model's pieces (sentinels)
// are added by this class.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus_file.hpp"
#include "data/vocabulary.hpp"

namespace switchyard {

class Tokenizer {
 public:
  // Loads the bytes of a .model file; `name` is used in messages. A damaged model may crash inside
  // SentencePiece, so bytes whose hash is not known should pass try_tokenizer_model() first.
  // Error(damaged_data): not a model; Error(usage): not T5's conventions.
  Tokenizer(const std::string& model, const std::string& name);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  const Vocabulary& vocabulary() const { return vocabulary_; }
  // SHA-256 of the model's bytes, 64 hex digits.
  const std::string& sha256() const { return sha256_; }

  // Pieces only, each in [2, pieces): never EOS or sentinels, whatever the text contains. May be
  // called from any thread.
  std::vector<std::int32_t> encode(std::string_view text) const;
  // The same, but <extra_id_0> … <extra_id_99> in the text become sentinels, and the text between
  // them is encoded separately.
  std::vector<std::int32_t> encode_with_sentinels(std::string_view text) const;
  // Shows sentinels as <extra_id_k>, EOS as </s>, padding as <pad>, other ids without a piece as
  // <id N>. May be called from any thread.
  std::string decode(std::span<const std::int32_t> ids) const;
  // A single id as the model stores it ("▁the" begins a word); ids that are not text as in
  // decode().
  std::string piece(std::int32_t id) const;

 private:
  friend class TextEncoder;
  struct Model;
  std::unique_ptr<Model> model_;
  Vocabulary vocabulary_;
  std::string sha256_;
};

// Tokenizer::encode() for a series of texts on one thread. It reuses what the library allocates per
// piece, which saves a quarter of the time.
class TextEncoder {
 public:
  explicit TextEncoder(const Tokenizer& tokenizer);  // `tokenizer` must outlive it
  TextEncoder(TextEncoder&&) noexcept;
  ~TextEncoder();
  std::vector<std::int32_t> encode(std::string_view text);
  // The first distinct characters, at most `most`, of the last text that the tokenizer does not
  // know.
  std::vector<std::string> unknown_characters(std::size_t most) const;

 private:
  struct Pieces;
  const Tokenizer& tokenizer_;
  std::unique_ptr<Pieces> pieces_;
};

// Loads the model and encodes a text of many scripts in another process, so that a crash there
// becomes an Error(damaged_data) here. That process is this program, started again with
// tokenizer_trial_word as its argument. A fork alone would copy a process in which MPI runs, which
// the network and MPI's threads may not survive.
void try_tokenizer_model(const std::string& model, const std::string& name);

// A program that calls try_tokenizer_model() must, if this word is its only argument, call
// run_tokenizer_trial() and nothing else, and exit with its result.
inline constexpr const char* tokenizer_trial_word = "--try-tokenizer-model";
int run_tokenizer_trial();

struct TokenizerTraining {
  std::int32_t pieces = 0;
  CorpusRules rules = {};
  // Text for the trainer: each file contributes in proportion to its size, in stretches spread
  // evenly over it. Bounds the memory (about 30 bytes per byte of text).
  std::int64_t text_bytes = std::int64_t{32} << 20;
  // The share of that text's characters that get pieces. Unset: all of them if at most 1,000 are
  // distinct, else 0.9995, since the rare characters of large scripts would fill the vocabulary.
  std::optional<double> character_coverage = std::nullopt;
  // Adds 256 pieces for bytes, which spell characters without a piece, so that nothing is unknown.
  bool byte_fallback = false;
  std::size_t threads = 1;  // reading threads; the model does not depend on them
};

// Whether the normalisation of a trained tokenizer turns this character into a blank or removes it.
bool normalizes_to_blank(char32_t code);

// Trains a unigram model and returns its bytes, which are the same for the same files on any number
// of threads. Error(usage): the text supports fewer or more pieces; the message names the bound.
// Error(missing_input) or Error(damaged_data): there is no text to train on.
std::string train_tokenizer(std::span<const std::string> files, const TokenizerTraining& training);

}  // namespace switchyard
