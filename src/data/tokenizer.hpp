// Text to ids and back: a SentencePiece model with T5's conventions, trained here or given. The
// only folder that knows SentencePiece; ids past the pieces (sentinels) are this class's own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

 private:
  struct Pieces;
  const Tokenizer& tokenizer_;
  std::unique_ptr<Pieces> pieces_;
};

// Loads the model and encodes a text of many scripts in a forked child process, so that a crash
// there is an Error(damaged_data) here.
void try_tokenizer_model(const std::string& model, const std::string& name);

struct TokenizerTraining {
  std::int32_t pieces = 0;
  bool line_is_document = false;
  // Text that the trainer sees: each file gives its beginning, in proportion to its size. Bounds
  // memory (about 30 bytes for each byte of text).
  std::int64_t text_bytes = std::int64_t{32} << 20;
};

// A unigram model's bytes, the same for the same files on any number of threads.
// Error(usage): more or fewer pieces than the text supports, naming the bound.
std::string train_tokenizer(std::span<const std::string> files, const TokenizerTraining& training);

}  // namespace switchyard
