// Text corpora: from files to documents in constant memory. Damaged lines are counted, skipped and
// reported, up to a limit. It knows nothing of tokens.
//
// The format follows from the file name: .txt, or .jsonl and .json (one object per line, its text
// under "text" as in C4, or under another key), each also with .gz. A document in a .txt file ends
// at a blank line; optionally, each line is a document. A line longer than 16 MiB counts as
// damaged; a .txt document that has grown to 16 MiB is cut at the end of a line. Bytes that are not
// UTF-8 become U+FFFD and are counted, up to a limit per file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/corpus_file.hpp"

namespace switchyard {

// What was read, and what was damaged.
struct CorpusReport {
  std::int64_t documents = 0, lines = 0;
  std::int64_t bytes = 0;             // bytes of the files on disk
  std::int64_t damaged_lines = 0;     // skipped: invalid JSON, too long, or a damaged gzip tail
  std::vector<std::string> damage;    // the first few, as "file:line: reason"
  std::vector<std::string> repaired;  // the first few files with bytes that are not UTF-8
  std::int64_t repaired_files = 0, replaced_bytes = 0;  // over all files

  // Adds the decoded blocks of all files in order. Error(damaged_data) with file:line where damaged
  // lines exceed both 100 and 1% of the lines so far, or where the invalid UTF-8 of a file exceeds
  // both 100 lines and 1% of its lines, or both 1,000 bytes and 1% of its bytes.
  void add(const CorpusBlock& block);

 private:
  void count_damage(const std::string& where, std::int64_t lines_so_far);
  void count_repairs(const CorpusBlock& block);

  struct File {
    std::int64_t lines = 0, bytes = 0;
    Repairs repairs;
  };
  File file_;  // the current file, as far as it has been read
};

// Throws Error(damaged_data) or Error(missing_input) for files in which no document was found.
[[noreturn]] void refuse_empty_corpus(const std::vector<std::string>& files,
                                      const CorpusReport& report);

// The documents of several files one after another, on one thread.
class CorpusReader {
 public:
  CorpusReader(std::vector<std::string> files, CorpusRules rules);

  // The next document that is not blank; nullopt at the end. Throws the errors of
  // CorpusReport::add().
  std::optional<std::string> next();

  const CorpusReport& report() const { return report_; }

 private:
  std::vector<std::string> files_;
  CorpusRules rules_;
  std::size_t opened_ = 0;  // number of files opened; the current one is files_[opened_-1]
  std::optional<CorpusFile> file_;
  CorpusReport report_;
};

}  // namespace switchyard
