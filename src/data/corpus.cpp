#include "data/corpus.hpp"

#include <glob.h>

#include <algorithm>
#include <filesystem>

#include "base/error.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t damage_always_allowed = 100;
constexpr std::int64_t damage_allowed_one_in = 100;
constexpr std::size_t damage_shown = 5;

std::vector<std::string> matches(const std::string& pattern) {
  if (std::filesystem::exists(pattern)) return {pattern};
  glob_t found{};
  const int status = ::glob(pattern.c_str(), GLOB_NOSORT | GLOB_TILDE, nullptr, &found);
  std::vector<std::string> paths;
  if (status == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return paths;
}

}  // namespace

std::vector<std::string> expand_patterns(std::span<const std::string> patterns) {
  std::vector<std::string> files;
  for (const std::string& pattern : patterns) {
    const auto found = matches(pattern);
    if (found.empty())
      throw Error(ExitCode::missing_input, "no file matches '" + pattern + "'",
                  "check the path; a pattern such as 'texts/*.txt' is allowed");
    files.insert(files.end(), found.begin(), found.end());
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  for (const std::string& file : files) {
    corpus_format(file);
    if (std::filesystem::is_directory(file))
      throw Error(ExitCode::missing_input, file + " is a directory, not a text file",
                  "name the files in it, such as '" + file + "/*.txt'");
  }
  return files;
}

std::int64_t bytes_on_disk(std::span<const std::string> files) {
  std::int64_t bytes = 0;
  for (const std::string& file : files) {
    std::error_code unreadable;  // said by open_bytes when its turn comes
    const auto size = std::filesystem::file_size(file, unreadable);
    if (!unreadable) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

void CorpusReport::add(const CorpusBlock& block) {
  for (const CorpusBlock::Record& record : block.records) {
    if (record.damage.empty()) {
      ++documents;
    } else {
      count_damage(block.file + ":" + std::to_string(record.line) + ": " + record.damage,
                   lines + record.line - block.lines_before);
    }
  }
  lines += block.lines;
  bytes += block.bytes;
  replaced_bytes += block.replaced_bytes;
}

void CorpusReport::count_damage(const std::string& where, std::int64_t lines_so_far) {
  ++damaged_lines;
  if (damage.size() < damage_shown) damage.push_back(where);
  if (damaged_lines > std::max(damage_always_allowed, lines_so_far / damage_allowed_one_in))
    throw Error(
        ExitCode::damaged_data,
        "too many damaged lines (" + std::to_string(damaged_lines) + " of " +
            std::to_string(lines_so_far) + "); the last is " + where,
        "up to 100 lines, or 1 % of them, are passed over; repair the file or leave it out");
}

CorpusReader::CorpusReader(std::vector<std::string> files, bool line_is_document)
    : files_(std::move(files)), line_is_document_(line_is_document) {}

std::optional<std::string> CorpusReader::next() {
  while (file_ || opened_ < files_.size()) {
    if (!file_) file_.emplace(files_[opened_++], line_is_document_);
    auto block = file_->next(1);
    if (!block) {
      file_.reset();
      continue;
    }
    decode(*block);
    report_.add(*block);
    for (CorpusBlock::Record& record : block->records)
      if (record.damage.empty()) return std::move(record.text);
  }
  return std::nullopt;
}

}  // namespace switchyard
