// One file of a corpus, from bytes to documents, one block at a time. Reading moves forward through
// the file. Decoding a block needs only that block, so other threads can do it.
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

// The format according to the file name; Error(usage) where the name implies none.
CorpusFormat corpus_format(const std::string& path);

// How the files of a corpus are interpreted.
struct CorpusRules {
  bool line_is_document = false;  // in .txt files
  std::string text_key = "text";  // of a JSON line's text
};

// Bytes of a file that were not valid UTF-8 and became U+FFFD.
struct Repairs {
  std::int64_t bytes = 0, lines = 0;
  std::int64_t first_line = 0;   // line of the first such byte; 0: unknown
  unsigned char first_byte = 0;  // the first such byte
  bool latin1 = false;           // whether that line looks like Latin-1

  void add(const Repairs& later);
};

struct CorpusBlock {
  // A document, or the reason why it could not be read.
  struct Record {
    // The last line of the file that was read for it, counted from 1; 0: unknown.
    std::int64_t line;
    std::string text;    // the document; before decode(), the JSON line that holds it
    std::string damage;  // "" for an undamaged record
  };

  std::string file;
  CorpusFormat format = CorpusFormat::text;
  std::vector<Record> records;
  // Lines of the file before the block, and in the block.
  std::int64_t lines_before = 0, lines = 0;
  std::int64_t bytes = 0;       // bytes of the file on disk that the block covers
  std::int64_t text_bytes = 0;  // uncompressed bytes of its lines
  Repairs repairs;
};

// Replaces JSON lines by the documents in them and drops blank documents. To be called once per
// block.
void decode(CorpusBlock& block, const CorpusRules& rules);

// "file:line", or only the file where the line is unknown.
std::string place(const std::string& file, std::int64_t line);

class CorpusFile {
 public:
  // Throws the errors of open_bytes() and of refuse_foreign_text().
  CorpusFile(const std::string& path, const CorpusRules& rules);

  // Reads records until they occupy `size` bytes of memory or the file ends. Returns at least one
  // block per file, and nullopt after the end. Error(damaged_data) with the place of a NUL in the
  // text.
  std::optional<CorpusBlock> next(std::size_t size);
  // Continues after byte `offset` of the file on disk, unless it is already past it.
  void skip_to(std::int64_t offset) { lines_.skip_to(offset); }
  std::int64_t consumed() const { return source_->consumed(); }

 private:
  void read_record(CorpusBlock& block);
  void read_paragraph(CorpusBlock& block);
  void repair(CorpusBlock& block, std::string& line) const;
  // The next undamaged line; false at the end of the file. A damaged line becomes a record.
  bool next_line(CorpusBlock& block, std::string& line);

  std::string path_;
  CorpusFormat format_;
  CorpusRules rules_;
  std::unique_ptr<ByteSource> source_;
  LineReader lines_;
  bool ended_ = false;
};

}  // namespace switchyard
