// One file of a corpus, from bytes to documents, a block at a time. Reading goes forward through
// the file; decoding a block needs nothing but the block, so that other threads can do it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/byte_source.hpp"
#include "data/line_reader.hpp"

namespace switchyard {

enum class CorpusFormat { text, json_lines };

// By the file's name; Error(usage) where it tells no format.
CorpusFormat corpus_format(const std::string& path);

// How a corpus is to be read.
struct CorpusRules {
  bool line_is_document = false;  // in .txt files
  std::string text_key = "text";  // of a JSON line's text
};

// Bytes of a file that were not UTF-8 and became U+FFFD.
struct Repairs {
  std::int64_t bytes = 0, lines = 0;
  std::int64_t first_line = 0;   // where the first is; 0: not known
  unsigned char first_byte = 0;  // and what it is
  bool latin1 = false;           // its line looks like that

  void add(const Repairs& later);
};

struct CorpusBlock {
  // A document, or the reason why there is none.
  struct Record {
    std::int64_t line;   // of the file, from 1: the last one read for it; 0: not known
    std::string text;    // the document; before decode(), the line of JSON that holds it
    std::string damage;  // empty where all is well
  };

  std::string file;
  CorpusFormat format = CorpusFormat::text;
  std::vector<Record> records;
  std::int64_t lines_before = 0, lines = 0;  // of the file: before the block, and in it
  std::int64_t bytes = 0;                    // that it takes in the file as it lies on disk
  std::int64_t text_bytes = 0;               // of its lines, unpacked
  Repairs repairs;
};

// Turns JSON lines into the documents in them and drops what is blank. Once for each block.
void decode(CorpusBlock& block, const CorpusRules& rules);

// "file:line", or the file alone where the line is not known.
std::string place(const std::string& file, std::int64_t line);

class CorpusFile {
 public:
  // The errors of open_bytes() and of refuse_foreign_text().
  CorpusFile(const std::string& path, const CorpusRules& rules);

  // Records until they take `size` bytes of memory or the file ends; at least one block for a file,
  // none after its end. Error(damaged_data), with its place: a NUL in the text.
  std::optional<CorpusBlock> next(std::size_t size);
  // Goes on behind this byte of the file as it lies on disk, if it has not come so far.
  void skip_to(std::int64_t offset) { lines_.skip_to(offset); }
  std::int64_t consumed() const { return source_->consumed(); }

 private:
  void read_record(CorpusBlock& block);
  void read_paragraph(CorpusBlock& block);
  void repair(CorpusBlock& block, std::string& line) const;
  // The next undamaged line; false at the end of the file. Damage becomes a record.
  bool next_line(CorpusBlock& block, std::string& line);

  std::string path_;
  CorpusFormat format_;
  CorpusRules rules_;
  std::unique_ptr<ByteSource> source_;
  LineReader lines_;
  bool ended_ = false;
};

}  // namespace switchyard
