#include "data/corpus_file.hpp"

#include <string_view>

#include "base/error.hpp"
#include "data/foreign_text.hpp"
#include "data/json_text.hpp"
#include "data/utf8.hpp"

namespace switchyard {

namespace {

constexpr std::size_t longest_document = std::size_t{16} << 20;

// Recognises other kinds of files before anything is decoded.
void require_text(const std::string& path) {
  std::string beginning(foreign_text_sample, '\0');
  beginning.resize(open_bytes(path)->read(beginning));
  refuse_foreign_text(path, beginning);
}

}  // namespace

void Repairs::add(const Repairs& later) {
  if (bytes == 0) {
    *this = later;
    return;
  }
  bytes += later.bytes;
  lines += later.lines;
}

CorpusFormat corpus_format(const std::string& path) {
  std::string_view name = path;
  if (name.ends_with(".gz")) name.remove_suffix(3);
  if (name.ends_with(".txt")) return CorpusFormat::text;
  if (name.ends_with(".jsonl") || name.ends_with(".json")) return CorpusFormat::json_lines;
  throw Error(ExitCode::usage, "the name of " + path + " does not tell its format",
              "known are .txt, .jsonl and .json, each also with .gz");
}

void decode(CorpusBlock& block, const CorpusRules& rules) {
  if (block.format != CorpusFormat::json_lines) return;
  for (CorpusBlock::Record& record : block.records) {
    if (!record.damage.empty()) continue;
    JsonText found = json_text(record.text, rules.text_key);
    record.damage = std::move(found.problem);
    record.text = std::move(found.text).value_or("");
  }
  std::erase_if(block.records, [](const CorpusBlock::Record& record) {
    return record.damage.empty() && is_blank(record.text);
  });
}

CorpusFile::CorpusFile(const std::string& path, const CorpusRules& rules)
    : path_(path),
      format_(corpus_format(path)),
      rules_(rules),
      source_(open_bytes(path)),
      lines_(*source_, longest_line) {
  require_text(path);
}

std::optional<CorpusBlock> CorpusFile::next(std::size_t size) {
  if (ended_) return std::nullopt;
  CorpusBlock block;
  block.file = path_;
  block.format = format_;
  block.lines_before = lines_.lines_read();
  const std::int64_t consumed = source_->consumed();
  for (std::size_t used = 0, seen = 0; used < size && !ended_;) {
    read_record(block);
    for (; seen < block.records.size(); ++seen)
      used += sizeof(CorpusBlock::Record) + block.records[seen].text.size();
  }
  block.lines = lines_.lines_read() - block.lines_before;
  block.bytes = source_->consumed() - consumed;
  return block;
}

void CorpusFile::read_record(CorpusBlock& block) {
  if (format_ == CorpusFormat::text && !rules_.line_is_document) return read_paragraph(block);
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
    block.text_bytes += lines_.length();
    if (result == LineReader::Result::line) {
      repair(block, line);
      return true;
    }
    block.records.push_back({lines_.number(), "",
                             "a line of " + std::to_string(lines_.length()) +
                                 " bytes, longer than 16 MiB: all of it is lost"});
  }
  ended_ = true;
  if (const auto damage = source_->damage())
    block.records.push_back({lines_.number(), "", *damage + "; the rest of the file is lost"});
  return false;
}

void CorpusFile::repair(CorpusBlock& block, std::string& line) const {
  if (line.find('\0') != line.npos) refuse_nul(place(path_, lines_.number()));
  const std::size_t first = valid_utf8(line);
  if (first == line.size()) return;
  Repairs repairs{.lines = 1,
                  .first_line = lines_.number(),
                  .first_byte = static_cast<unsigned char>(line[first]),
                  .latin1 = looks_like_latin1(line)};
  repairs.bytes = repair_utf8(line);
  block.repairs.add(repairs);
}

std::string place(const std::string& file, std::int64_t line) {
  return line > 0 ? file + ":" + std::to_string(line) : file;
}

}  // namespace switchyard
