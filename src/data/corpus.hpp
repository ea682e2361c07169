// Text corpora: from file patterns to documents in constant memory. Damaged lines are counted,
// passed over and reported, up to a limit. Knows nothing of tokens.
//
// A file is read by its name: .txt, or .jsonl and .json (one object a line, its text under "text",
// as C4 has it), each also with .gz. A document of a .txt file ends at a blank line, or is one line
// where the corpus says so. A line longer than 16 MiB is damaged; a .txt document is cut at a line
// end once it has grown to 16 MiB. Bytes that are not UTF-8 become U+FFFD and are counted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/corpus_file.hpp"

namespace switchyard {

// The files that match any of the patterns, in byte order, each once. Error(missing_input) for a
// pattern that matches nothing, Error(usage) for a file whose name tells no format.
std::vector<std::string> expand_patterns(std::span<const std::string> patterns);

// Of those that can be read.
std::int64_t bytes_on_disk(std::span<const std::string> files);

// What was read, and what could not be.
struct CorpusReport {
  std::int64_t documents = 0, lines = 0;
  std::int64_t bytes = 0;           // of the files as they lie on disk
  std::int64_t damaged_lines = 0;   // passed over: broken JSON, too long, a broken gzip tail
  std::int64_t replaced_bytes = 0;  // not UTF-8
  std::vector<std::string> damage;  // the first few, as "file:line: reason"

  // Takes the decoded blocks of all files in their order. Error(damaged_data) with file:line where
  // damaged lines exceed 100 and 1 % of the lines so far.
  void add(const CorpusBlock& block);

 private:
  void count_damage(const std::string& where, std::int64_t lines_so_far);
};

// The documents of several files one by one, on one thread.
class CorpusReader {
 public:
  CorpusReader(std::vector<std::string> files, bool line_is_document);

  // The next document that is not blank; none at the end. The errors of CorpusReport::add().
  std::optional<std::string> next();

  const CorpusReport& report() const { return report_; }

 private:
  std::vector<std::string> files_;
  bool line_is_document_;
  std::size_t opened_ = 0;  // files so far; the current one is files_[opened_-1]
  std::optional<CorpusFile> file_;
  CorpusReport report_;
};

}  // namespace switchyard
