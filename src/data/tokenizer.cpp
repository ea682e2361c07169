#include "data/tokenizer.hpp"

#include <sentencepiece_processor.h>

#include <cassert>

#include "base/error.hpp"
#include "files/sha256.hpp"

namespace switchyard {

namespace {

constexpr std::size_t most_kept = std::size_t{1} << 18;  // pieces, of about 200 bytes each

}  // namespace

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
  if (!processor.IsUnknown(processor.PieceToId("<extra_id_0>")))
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

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  const auto& processor = model_->processor;
  std::string text;
  for (std::size_t at = 0; at < ids.size();) {
    const std::int32_t id = ids[at];
    std::vector<int> run;
    while (at < ids.size() && vocabulary_.is_text(ids[at])) run.push_back(ids[at++]);
    if (!run.empty()) {
      std::string words;
      // Decode() drops the space before its first word: give it back inside a text.
      constexpr const char* space = "\xE2\x96\x81";
      if (!text.empty() && processor.IdToPiece(run.front()).rfind(space, 0) == 0) text += ' ';
      if (const auto status = processor.Decode(run, &words); !status.ok())
        throw Error(ExitCode::damaged_data, "the tokenizer cannot decode: " + status.ToString());
      text += words;
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
  auto& pieces = pieces_->text;
  const auto status = tokenizer_.model_->processor.Encode(
      absl::string_view(text.data(), text.size()), pieces.mutable_proto());
  if (!status.ok())
    throw Error(ExitCode::damaged_data, "the tokenizer cannot encode: " + status.ToString());
  std::vector<std::int32_t> ids(pieces.pieces_size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<std::int32_t>(pieces.pieces(static_cast<int>(i)).id());
  // One long text must not hold its memory for the rest of the corpus.
  if (ids.size() > most_kept) pieces_ = std::make_unique<Pieces>();
  return ids;
}

}  // namespace switchyard
