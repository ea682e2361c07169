// Text corpora: from files to documents in constant memory. Damaged lines are counted, passed over
// and reported, up to a limit. Knows nothing of tokens.
//
// A file is read by its name: .txt, or .jsonl and .json (one object a line, its text under "text",
// as C4 has it, or under another key), each also with .gz. A document of a .txt file ends at a
// blank line, or is one line where the corpus says so. A line longer than 16 MiB is damaged; a .txt
// document is cut at a line end once it has grown to 16 MiB. Bytes that are not UTF-8 become U+FFFD
// and are counted, up to a limit in each file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus_file.hpp"

namespace switchyard {

// What was read, and what could not be.
struct CorpusReport {
  std::int64_t documents = 0, lines = 0;
  std::int64_t bytes = 0;             // of the files as they lie on disk
  std::int64_t damaged_lines = 0;     // passed over: broken JSON, too long, a broken gzip tail
  std::vector<std::string> damage;    // the first few, as "file:line: reason"
  std::vector<std::string> repaired;  // of the first few files with bytes that are not UTF-8
  std::int64_t repaired_files = 0, replaced_bytes = 0;  // of all of them

  // Takes the decoded blocks of all files in their order. Error(damaged_data) with file:line where
  // damaged lines exceed 100 and 1 % of the lines so far, or what is not UTF-8 in a file 100 lines
  // and 1 % of its lines, or 1,000 bytes and 1 % of its bytes.
  void add(const CorpusBlock& block);

 private:
  void count_damage(const std::string& where, std::int64_t lines_so_far);
  void count_repairs(const CorpusBlock& block);

  struct File {
    std::int64_t lines = 0, bytes = 0;
    Repairs repairs;
  };
  File file_;  // the one that is being read, so far
};

// Error(damaged_data) or Error(missing_input) for files in which no document was found.
[[noreturn]] void refuse_empty_corpus(const std::vector<std::string>& files,
                                      const CorpusReport& report);

// The documents of several files one by one, on one thread.
class CorpusReader {
 public:
  CorpusReader(std::vector<std::string> files, CorpusRules rules);

  // The next document that is not blank; none at the end. The errors of CorpusReport::add().
  std::optional<std::string> next();

  const CorpusReport& report() const { return report_; }

 private:
  std::vector<std::string> files_;
  CorpusRules rules_;
  std::size_t opened_ = 0;  // files so far; the current one is files_[opened_-1]
  std::optional<CorpusFile> file_;
  CorpusReport report_;
};

}  // namespace switchyard
