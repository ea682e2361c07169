// Text to ids and back: a SentencePiece model with T5's conventions, trained here or given. The
// only folder that knows SentencePiece; ids past the pieces (sentinels) are this class's own.
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
  // From the bytes of a .model file; `name` is for messages. A damaged model may crash inside
  // SentencePiece: bytes whose hash is not pinned go through try_tokenizer_model() first.
  // Error(damaged_data): no model; Error(usage): not T5's conventions.
  Tokenizer(const std::string& model, const std::string& name);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const std::string& sha256() const { return sha256_; }  // of the model's bytes, 64 hex digits

  // Pieces only, each in [2, pieces): no EOS, no sentinel, whatever the text says. From any thread.
  std::vector<std::int32_t> encode(std::string_view text) const;
  // The same, but <extra_id_0> … <extra_id_99> in the text are the sentinels; what lies between
  // them is encoded alone.
  std::vector<std::int32_t> encode_with_sentinels(std::string_view text) const;
  // Sentinels as <extra_id_k>, EOS as </s>, padding as <pad>, other ids as <id N>. From any thread.
  std::string decode(std::span<const std::int32_t> ids) const;
  // One id alone, as the model stores it: "▁the" begins a word; what is no text as decode() shows
  // it.
  std::string piece(std::int32_t id) const;

 private:
  friend class TextEncoder;
  struct Model;
  std::unique_ptr<Model> model_;
  Vocabulary vocabulary_;
  std::string sha256_;
};

// Tokenizer::encode() for one text after another on one thread. What the library allocates for
// each piece of a text serves the next one, which saves a quarter of the time.
class TextEncoder {
 public:
  explicit TextEncoder(const Tokenizer& tokenizer);  // which must outlive it
  TextEncoder(TextEncoder&&) noexcept;
  ~TextEncoder();
  std::vector<std::int32_t> encode(std::string_view text);
  // The first distinct characters of the text encoded last that the tokenizer does not know.
  std::vector<std::string> unknown_characters(std::size_t most) const;

 private:
  struct Pieces;
  const Tokenizer& tokenizer_;
  std::unique_ptr<Pieces> pieces_;
};

// Loads the model and encodes a text of many scripts in another process, so that a crash there is
// an Error(damaged_data) here. That process is this program, started anew with
// tokenizer_trial_word: a fork would copy a process in which MPI runs, which networks and MPI's
// threads need not survive.
void try_tokenizer_model(const std::string& model, const std::string& name);

// A program that calls try_tokenizer_model() calls run_tokenizer_trial() and nothing else where
// this word is its one argument, and exits with what it returns.
inline constexpr const char* tokenizer_trial_word = "--try-tokenizer-model";
int run_tokenizer_trial();

struct TokenizerTraining {
  std::int32_t pieces = 0;
  CorpusRules rules = {};
  // Text that the trainer sees: each file gives a share by its size, in stretches that lie evenly
  // from its beginning to its end. Bounds memory (about 30 bytes for each byte of text).
  std::int64_t text_bytes = std::int64_t{32} << 20;
  // Share of the characters of that text which have pieces; unset: all where no more than 1,000 are
  // distinct, else 0.9995, as rare ones of large scripts would fill the vocabulary.
  std::optional<double> character_coverage = std::nullopt;
  // 256 pieces are bytes, by which characters without a piece are spelt: nothing is unknown.
  bool byte_fallback = false;
  std::size_t threads = 1;  // that read; the model does not depend on them
};

// Whether a trained tokenizer's normalisation makes of this character a blank, or nothing at all.
bool normalizes_to_blank(char32_t code);

// A unigram model's bytes, the same for the same files on any number of threads.
// Error(usage): more or fewer pieces than the text supports, naming the bound; Error(missing_input)
// or Error(damaged_data): no text that a tokenizer could be made of.
std::string train_tokenizer(std::span<const std::string> files, const TokenizerTraining& training);

}  // namespace switchyard
