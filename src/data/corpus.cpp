#include "data/corpus.hpp"

#include <algorithm>
#include <cstdio>

#include "base/error.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t damage_always_allowed = 100;
constexpr std::int64_t damage_allowed_one_in = 100;
constexpr std::int64_t replaced_always_allowed = 1000;
constexpr std::int64_t replaced_allowed_one_in = 100;
constexpr std::size_t damage_shown = 5;

bool too_many(std::int64_t count, std::int64_t always, std::int64_t all, std::int64_t one_in) {
  return count > std::max(always, all / one_in);
}

std::string plural(std::int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// Describes repairs: "3 bytes in 2 lines were not UTF-8, the first 0xE9 in line 7: Latin-1, by its
// look".
std::string describe(const Repairs& repairs) {
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", repairs.first_byte);
  return plural(repairs.bytes, "byte") + " in " + plural(repairs.lines, "line") +
         (repairs.bytes == 1 ? " was" : " were") + " not UTF-8, the first " + byte +
         (repairs.first_line > 0 ? " in line " + std::to_string(repairs.first_line) : "") +
         (repairs.latin1 ? ": Latin-1 or Windows-1252, by the look of it" : "");
}

}  // namespace

void CorpusReport::add(const CorpusBlock& block) {
  for (const CorpusBlock::Record& record : block.records) {
    if (record.damage.empty()) {
      ++documents;
    } else {
      const std::int64_t read = record.line > 0 ? record.line - block.lines_before : block.lines;
      count_damage(place(block.file, record.line) + ": " + record.damage, lines + read);
    }
  }
  lines += block.lines;
  bytes += block.bytes;
  count_repairs(block);
}

void CorpusReport::count_repairs(const CorpusBlock& block) {
  if (block.lines_before == 0) file_ = File();
  const bool first = file_.repairs.bytes == 0 && block.repairs.bytes > 0;
  file_.lines += block.lines;
  file_.bytes += block.text_bytes;
  file_.repairs.add(block.repairs);
  if (file_.repairs.bytes == 0) return;
  const std::string text = block.file + ": " + describe(file_.repairs);
  replaced_bytes += block.repairs.bytes;
  repaired_files += first ? 1 : 0;
  if (first && repaired.size() < damage_shown) repaired.push_back("");
  if (repaired_files <= std::ssize(repaired)) repaired.back() = text;
  if (too_many(file_.repairs.lines, damage_always_allowed, file_.lines, damage_allowed_one_in) ||
      too_many(file_.repairs.bytes, replaced_always_allowed, file_.bytes, replaced_allowed_one_in))
    throw Error(ExitCode::damaged_data, text + " (of " + plural(file_.lines, "line") + " so far)",
                file_.repairs.latin1
                    ? "convert it: iconv -f WINDOWS-1252 -t UTF-8 " + block.file
                    : "convert it to UTF-8 with iconv, or leave it out; 100 lines or 1 % of them "
                      "may hold such bytes");
}

void CorpusReport::count_damage(const std::string& where, std::int64_t lines_so_far) {
  ++damaged_lines;
  if (damage.size() < damage_shown) damage.push_back(where);
  if (too_many(damaged_lines, damage_always_allowed, lines_so_far, damage_allowed_one_in))
    throw Error(
        ExitCode::damaged_data,
        "too many damaged lines (" + std::to_string(damaged_lines) + " of " +
            std::to_string(lines_so_far) + "); the last is " + where,
        "up to 100 lines, or 1 % of them, are passed over; repair the file or leave it out");
}

void refuse_empty_corpus(const std::vector<std::string>& files, const CorpusReport& report) {
  if (!report.damage.empty())
    throw Error(ExitCode::damaged_data,
                "no document could be read; the first damage is " + report.damage.front(),
                "a JSON line holds one object, its text under \"text\" or what --text-key names; a "
                "line of text has up to 16 MiB");
  throw Error(
      ExitCode::missing_input,
      "there is no text in " + files.front() + (files.size() > 1 ? " and the other files" : ""),
      "check the files' contents");
}

CorpusReader::CorpusReader(std::vector<std::string> files, CorpusRules rules)
    : files_(std::move(files)), rules_(std::move(rules)) {}

std::optional<std::string> CorpusReader::next() {
  while (file_ || opened_ < files_.size()) {
    if (!file_) file_.emplace(files_[opened_++], rules_);
    auto block = file_->next(1);
    if (!block) {
      file_.reset();
      continue;
    }
    decode(*block, rules_);
    report_.add(*block);
    for (CorpusBlock::Record& record : block->records)
      if (record.damage.empty()) return std::move(record.text);
  }
  return std::nullopt;
}

}  // namespace switchyard
