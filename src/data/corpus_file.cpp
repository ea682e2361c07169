#include "data/corpus_file.hpp"

#include <string_view>

#include "base/error.hpp"
#include "data/json_text.hpp"
#include "data/utf8.hpp"

namespace switchyard {

namespace {

constexpr std::size_t longest_line = std::size_t{16} << 20;
constexpr std::size_t longest_document = std::size_t{16} << 20;

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string::npos;
}

}  // namespace

CorpusFormat corpus_format(const std::string& path) {
  std::string_view name = path;
  if (name.ends_with(".gz")) name.remove_suffix(3);
  if (name.ends_with(".txt")) return CorpusFormat::text;
  if (name.ends_with(".jsonl") || name.ends_with(".json")) return CorpusFormat::json_lines;
  throw Error(ExitCode::usage, "the name of " + path + " does not tell its format",
              "known are .txt, .jsonl and .json, each also with .gz");
}

void decode(CorpusBlock& block) {
  if (block.format != CorpusFormat::json_lines) return;
  for (CorpusBlock::Record& record : block.records) {
    if (!record.damage.empty()) continue;
    if (auto text = json_text(record.text)) {
      record.text = std::move(*text);
    } else {
      record.damage = "not a JSON object with a string under \"text\"";
    }
  }
  std::erase_if(block.records, [](const CorpusBlock::Record& record) {
    return record.damage.empty() && is_blank(record.text);
  });
}

CorpusFile::CorpusFile(const std::string& path, bool line_is_document)
    : path_(path),
      format_(corpus_format(path)),
      line_is_document_(line_is_document),
      source_(open_bytes(path)),
      lines_(*source_, longest_line) {}

std::optional<CorpusBlock> CorpusFile::next(std::size_t size) {
  if (ended_) return std::nullopt;
  CorpusBlock block;
  block.file = path_;
  block.format = format_;
  block.lines_before = lines_.number();
  const std::int64_t consumed = source_->consumed();
  for (std::size_t used = 0, seen = 0; used < size && !ended_;) {
    read_record(block);
    for (; seen < block.records.size(); ++seen)
      used += sizeof(CorpusBlock::Record) + block.records[seen].text.size();
  }
  block.lines = lines_.number() - block.lines_before;
  block.bytes = source_->consumed() - consumed;
  return block;
}

void CorpusFile::read_record(CorpusBlock& block) {
  if (format_ == CorpusFormat::text && !line_is_document_) return read_paragraph(block);
  std::string line;
  if (next_line(block, line) && !is_blank(line))
    block.records.push_back({lines_.number(), std::move(line), ""});
}

void CorpusFile::read_paragraph(CorpusBlock& block) {
  std::string document, line;
  while (next_line(block, line)) {
    if (!is_blank(line)) {
      if (!document.empty()) document += '\n';
      document += line;
    }
    if (!document.empty() && (is_blank(line) || document.size() >= longest_document)) break;
  }
  if (!document.empty()) block.records.push_back({lines_.number(), std::move(document), ""});
}

bool CorpusFile::next_line(CorpusBlock& block, std::string& line) {
  for (;;) {
    const auto result = lines_.next(line);
    if (result == LineReader::Result::end) break;
    if (result == LineReader::Result::line) {
      block.replaced_bytes += repair_utf8(line);
      return true;
    }
    block.records.push_back({lines_.number(), "", "a line longer than 16 MiB"});
  }
  ended_ = true;
  if (const auto damage = source_->damage())
    block.records.push_back({lines_.number(), "", *damage + "; the rest of the file is lost"});
  return false;
}

}  // namespace switchyard
