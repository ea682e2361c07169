// Lines of bounded length from a byte source; a longer line is skipped without being stored.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_source.hpp"

namespace switchyard {

// The longest line, in bytes, that is accepted as text of a corpus or as an example.
inline constexpr std::int64_t longest_line = std::int64_t{16} << 20;

// Whether the line is empty or contains only blanks.
bool is_blank(std::string_view line);

class LineReader {
 public:
  // Reads from `source`, which must outlive the reader, at its current position. Lines longer than
  // `limit` bytes are returned as too_long.
  LineReader(ByteSource& source, std::size_t limit);

  // The next line without its "\n" or "\r\n". In a file whose beginning has no "\n", a single "\r"
  // ends a line too (classic Mac OS). A byte order mark before the first line is dropped.
  enum class Result { line, too_long, end };
  Result next(std::string& line);

  // Continues with the next line that begins after byte `offset` of the source's file
  // (approximately, for a compressed file), unless the reader is already past it. The number of
  // skipped lines is unknown.
  void skip_to(std::int64_t offset);

  // number: the last line's number, counted from 1; 0 where lines were skipped before it. The
  // other: its length in bytes.
  std::int64_t number() const { return skipped_ ? 0 : number_; }
  std::int64_t length() const { return length_; }
  std::int64_t lines_read() const { return number_; }

 private:
  bool refill();
  const char* line_end(const char* begin, const char* end) const;  // null: there is none

  ByteSource& source_;
  std::size_t limit_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, filled_ = 0;
  std::int64_t begin_ = 0;  // offset in the source's file of the buffer's first byte
  std::int64_t number_ = 0, length_ = 0;
  bool skipped_ = false;
  bool by_returns_ = false;    // "\r" alone ends a line too
  bool after_return_ = false;  // the last line ended so: a "\n" at once belongs to it
};

}  // namespace switchyard
