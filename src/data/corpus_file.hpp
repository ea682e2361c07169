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

struct CorpusBlock {
  // A document, or the reason why there is none.
  struct Record {
    std::int64_t line;   // of the file, from 1: the last one read for it
    std::string text;    // the document; before decode(), the line of JSON that holds it
    std::string damage;  // empty where all is well
  };

  std::string file;
  CorpusFormat format = CorpusFormat::text;
  std::vector<Record> records;
  std::int64_t lines_before = 0, lines = 0;  // of the file: before the block, and in it
  std::int64_t bytes = 0;                    // that it takes in the file as it lies on disk
  std::int64_t replaced_bytes = 0;           // not UTF-8
};

// Turns JSON lines into the documents in them and drops what is blank. Once for each block.
void decode(CorpusBlock& block);

class CorpusFile {
 public:
  // The errors of open_bytes().
  CorpusFile(const std::string& path, bool line_is_document);

  // Records until they take `size` bytes of memory or the file ends; at least one block for a file,
  // none after its end.
  std::optional<CorpusBlock> next(std::size_t size);

 private:
  void read_record(CorpusBlock& block);
  void read_paragraph(CorpusBlock& block);
  // The next undamaged line; false at the end of the file. Damage becomes a record.
  bool next_line(CorpusBlock& block, std::string& line);

  std::string path_;
  CorpusFormat format_;
  bool line_is_document_;
  std::unique_ptr<ByteSource> source_;
  LineReader lines_;
  bool ended_ = false;
};

}  // namespace switchyard
