#include "data/tokenizer.hpp"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <optional>

#include "base/error.hpp"
#include "data/utf8.hpp"
#include "files/sha256.hpp"

namespace switchyard {

namespace {

constexpr std::size_t most_kept = std::size_t{1} << 18;  // in pieces of about 200 bytes each
constexpr std::string_view space = "\xE2\x96\x81";
constexpr std::string_view sentinel_begins = "<extra_id_";

// If `text` starts with "<extra_id_k>": k and the length of the marker; otherwise none.
struct Spelt {
  std::int32_t sentinel;
  std::size_t length;
};
std::optional<Spelt> spelt_sentinel(std::string_view text) {
  if (!text.starts_with(sentinel_begins)) return std::nullopt;
  const std::string_view digits = text.substr(sentinel_begins.size(), 3);
  const std::size_t count = digits.find('>');
  if (count == digits.npos || count == 0 || (count == 2 && digits[0] == '0')) return std::nullopt;
  std::int32_t sentinel = 0;
  for (const char c : digits.substr(0, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    sentinel = sentinel * 10 + (c - '0');
  }
  return Spelt{sentinel, sentinel_begins.size() + count + 1};
}

// Whether the model has pieces for sentinels, with or without the word-start mark, as models made
// for T5 do.
bool holds_sentinels(const sentencepiece::SentencePieceProcessor& processor) {
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    std::string_view piece = processor.IdToPiece(id);
    while (piece.starts_with(space)) piece.remove_prefix(space.size());
    if (const auto spelt = spelt_sentinel(piece); spelt && spelt->length == piece.size())
      return true;
  }
  return false;
}

}  // namespace

static_assert(Vocabulary::sentinels == 100, "spelt_sentinel() reads one or two digits");

struct Tokenizer::Model {
  sentencepiece::SentencePieceProcessor processor;
};

Tokenizer::Tokenizer(const std::string& model, const std::string& name)
    : model_(std::make_unique<Model>()), sha256_(sha256_hex(model)) {
  auto& processor = model_->processor;
  if (model.empty() || !processor.LoadFromSerializedProto(model).ok())
    throw Error(ExitCode::damaged_data, name + " is not a SentencePiece model",
                "give a .model file that SentencePiece wrote");
  if (processor.pad_id() != Vocabulary::pad || processor.eos_id() != Vocabulary::eos ||
      processor.unk_id() != Vocabulary::unknown)
    throw Error(ExitCode::usage,
                name + " numbers its special pieces pad " + std::to_string(processor.pad_id()) +
                    ", EOS " + std::to_string(processor.eos_id()) + ", unknown " +
                    std::to_string(processor.unk_id()) + "; T5's numbers 0, 1, 2 are needed",
                "give a model trained with them, or --vocab-size to train one");
  if (holds_sentinels(processor))
    throw Error(ExitCode::usage, name + " has the sentinels among its pieces already",
                "give the model without them, such as T5's spiece.model of 32,000 pieces");
  vocabulary_.pieces = processor.GetPieceSize();
}

Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  return TextEncoder(*this).encode(text);
}

std::vector<std::int32_t> Tokenizer::encode_with_sentinels(std::string_view text) const {
  std::vector<std::int32_t> ids;
  TextEncoder encoder(*this);
  const auto append_text = [&](std::string_view between) {
    const auto more = encoder.encode(between);
    ids.insert(ids.end(), more.begin(), more.end());
  };
  std::size_t begin = 0;  // start of the text not yet encoded
  for (std::size_t at = 0; (at = text.find(sentinel_begins, at)) != text.npos;) {
    const auto spelt = spelt_sentinel(text.substr(at));
    if (!spelt) {
      ++at;
      continue;
    }
    append_text(text.substr(begin, at - begin));
    ids.push_back(vocabulary_.sentinel(spelt->sentinel));
    begin = at += spelt->length;
  }
  append_text(text.substr(begin));
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  const auto& processor = model_->processor;
  std::string text;
  for (std::size_t at = 0; at < ids.size();) {
    const std::int32_t id = ids[at];
    std::vector<int> run;
    while (at < ids.size() && vocabulary_.is_text(ids[at])) run.push_back(ids[at++]);
    if (!run.empty()) {
      // DecodeIds() drops the space before its first word; restore it inside a text. It cannot
      // fail, since these are ids of pieces; and versions differ in what Decode(), with a status,
      // takes.
      if (!text.empty() && processor.IdToPiece(run.front()).starts_with(space)) text += ' ';
      text += processor.DecodeIds(run);
      continue;
    }
    ++at;
    text += piece(id);
  }
  return text;
}

std::string Tokenizer::piece(std::int32_t id) const {
  if (vocabulary_.is_text(id)) return model_->processor.IdToPiece(id);
  if (vocabulary_.is_sentinel(id))
    return "<extra_id_" + std::to_string(vocabulary_.ids() - 1 - id) + ">";
  if (Vocabulary::is_eos(id)) return "</s>";
  if (id == Vocabulary::pad) return "<pad>";
  return "<id " + std::to_string(id) + ">";
}

struct TextEncoder::Pieces {
  sentencepiece::ImmutableSentencePieceText text;
};

TextEncoder::TextEncoder(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), pieces_(std::make_unique<Pieces>()) {}
TextEncoder::TextEncoder(TextEncoder&&) noexcept = default;
TextEncoder::~TextEncoder() = default;

std::vector<std::int32_t> TextEncoder::encode(std::string_view text) {
  // Free the memory of a very long text instead of keeping it for the rest of the corpus.
  if (pieces_->text.pieces_size() > most_kept) pieces_ = std::make_unique<Pieces>();
  auto& pieces = pieces_->text;
  const auto status = tokenizer_.model_->processor.Encode(
      absl::string_view(text.data(), text.size()), pieces.mutable_proto());
  if (!status.ok())
    throw Error(ExitCode::damaged_data, "the tokenizer cannot encode: " + status.ToString());
  std::vector<std::int32_t> ids(pieces.pieces_size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<std::int32_t>(pieces.pieces(static_cast<int>(i)).id());
  return ids;
}

std::vector<std::string> TextEncoder::unknown_characters(std::size_t most) const {
  std::vector<std::string> characters;
  for (const auto& piece : pieces_->text.pieces()) {
    if (static_cast<std::int32_t>(piece.id()) != Vocabulary::unknown) continue;
    std::string_view rest = piece.piece();
    while (const std::size_t length = utf8_length(rest)) {
      const std::string character(rest.substr(0, length));
      rest.remove_prefix(length);
      if (character == space || std::count(characters.begin(), characters.end(), character) > 0)
        continue;
      if (characters.size() == most) return characters;
      characters.push_back(character);
    }
  }
  return characters;
}

}  // namespace switchyard
