#include "data/corpus.hpp"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "base/error.hpp"
#include "data/json_text.hpp"
#include "data/utf8.hpp"

namespace switchyard {

namespace {

constexpr std::size_t longest_line = std::size_t{16} << 20;
constexpr std::size_t longest_document = std::size_t{16} << 20;
constexpr std::int64_t damage_always_allowed = 100;
constexpr std::int64_t damage_allowed_one_in = 100;
constexpr std::size_t damage_shown = 5;

enum class Format { text, json_lines };

Format format_of(const std::string& path) {
  std::string_view name = path;
  if (name.ends_with(".gz")) name.remove_suffix(3);
  if (name.ends_with(".txt")) return Format::text;
  if (name.ends_with(".jsonl") || name.ends_with(".json")) return Format::json_lines;
  throw Error(ExitCode::usage, "the name of " + path + " does not tell its format",
              "known are .txt, .jsonl and .json, each also with .gz");
}

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string::npos;
}

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
    format_of(file);
    if (std::filesystem::is_directory(file))
      throw Error(ExitCode::missing_input, file + " is a directory, not a text file",
                  "name the files in it, such as '" + file + "/*.txt'");
  }
  return files;
}

CorpusReader::CorpusReader(std::vector<std::string> files, bool line_is_document)
    : files_(std::move(files)), line_is_document_(line_is_document) {
  for (const std::string& file : files_) {
    std::error_code unreadable;  // said by open_bytes when its turn comes
    const auto size = std::filesystem::file_size(file, unreadable);
    if (!unreadable) bytes_total_ += static_cast<std::int64_t>(size);
  }
}

std::int64_t CorpusReader::bytes_consumed() const {
  return bytes_before_ + (source_ ? source_->consumed() : 0);
}

std::optional<std::string> CorpusReader::next() {
  while (source_ || open_next_file()) {
    auto document = next_in_file();
    if (document) {
      ++report_.documents;
      return document;
    }
    close_file();
  }
  return std::nullopt;
}

bool CorpusReader::open_next_file() {
  if (opened_ == files_.size()) return false;
  source_ = open_bytes(files_[opened_++]);
  lines_.emplace(*source_, longest_line);
  return true;
}

void CorpusReader::close_file() {
  if (const auto damage = source_->damage())
    count_damage(*damage + "; the rest of the file is lost");
  bytes_before_ += source_->consumed();
  lines_.reset();
  source_.reset();
}

std::optional<std::string> CorpusReader::next_in_file() {
  const Format format = format_of(files_[opened_ - 1]);
  if (format == Format::text && !line_is_document_) return next_paragraph();
  std::string line;
  while (next_line(line)) {
    if (is_blank(line)) continue;
    if (format == Format::text) return line;
    auto text = json_text(line);
    if (!text) {
      count_damage("not a JSON object with a string under \"text\"");
    } else if (!is_blank(*text)) {
      return text;
    }
  }
  return std::nullopt;
}

std::optional<std::string> CorpusReader::next_paragraph() {
  std::string document, line;
  while (next_line(line)) {
    if (!is_blank(line)) {
      if (!document.empty()) document += '\n';
      document += line;
    }
    if (!document.empty() && (is_blank(line) || document.size() >= longest_document))
      return document;
  }
  if (document.empty()) return std::nullopt;
  return document;
}

bool CorpusReader::next_line(std::string& line) {
  for (;;) {
    const auto result = lines_->next(line);
    if (result == LineReader::Result::end) return false;
    ++report_.lines;
    if (result == LineReader::Result::line) break;
    count_damage("a line longer than 16 MiB");
  }
  report_.replaced_bytes += repair_utf8(line);
  return true;
}

void CorpusReader::count_damage(const std::string& reason) {
  ++report_.damaged_lines;
  const std::string where =
      files_[opened_ - 1] + ":" + std::to_string(lines_->number()) + ": " + reason;
  if (report_.damage.size() < damage_shown) report_.damage.push_back(where);
  if (report_.damaged_lines >
      std::max(damage_always_allowed, report_.lines / damage_allowed_one_in))
    throw Error(
        ExitCode::damaged_data,
        "too many damaged lines (" + std::to_string(report_.damaged_lines) + " of " +
            std::to_string(report_.lines) + "); the last is " + where,
        "up to 100 lines, or 1 % of them, are passed over; repair the file or leave it out");
}

}  // namespace switchyard
