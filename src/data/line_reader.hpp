// Lines of a byte source, of bounded length: a longer one is passed over without being kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_source.hpp"

namespace switchyard {

// The longest line that is taken for text of a corpus or for an example, in bytes.
inline constexpr std::int64_t longest_line = std::int64_t{16} << 20;

// Nothing, or blanks.
bool is_blank(std::string_view line);

class LineReader {
 public:
  // Reads on from `source`, which must outlive it. Longer lines than `limit` bytes come out as
  // too_long.
  LineReader(ByteSource& source, std::size_t limit);

  // Without its "\n" or "\r\n"; in a file that begins without "\n", "\r" alone ends a line too, as
  // old Macintoshes wrote it. A byte order mark before the first line is dropped.
  enum class Result { line, too_long, end };
  Result next(std::string& line);

  // Goes on with the next line that begins behind this byte of the source's file (of a packed one
  // about there), if it has not come so far. How many lines were passed over is not known.
  void skip_to(std::int64_t offset);

  // Of the last line: its number from 1, or 0 where lines were passed over before it; and its
  // bytes.
  std::int64_t number() const { return skipped_ ? 0 : number_; }
  std::int64_t length() const { return length_; }
  std::int64_t lines_read() const { return number_; }

 private:
  bool refill();
  const char* line_end(const char* begin, const char* end) const;  // null: none

  ByteSource& source_;
  std::size_t limit_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, filled_ = 0;
  std::int64_t begin_ = 0;  // where in the source's file the buffer's bytes begin
  std::int64_t number_ = 0, length_ = 0;
  bool skipped_ = false;
  bool by_returns_ = false;    // "\r" alone ends a line too
  bool after_return_ = false;  // the last line ended so: a "\n" at once belongs to it
};

}  // namespace switchyard
