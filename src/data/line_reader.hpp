// Lines of a byte source, of bounded length: a longer one is passed over without being kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/byte_source.hpp"

namespace switchyard {

class LineReader {
 public:
  // Reads on from `source`, which must outlive it. Longer lines than `limit` bytes come out as
  // too_long.
  LineReader(ByteSource& source, std::size_t limit);

  // Without its "\n" or "\r\n". A byte order mark before the first line is dropped.
  enum class Result { line, too_long, end };
  Result next(std::string& line);
  std::int64_t number() const { return number_; }  // of the last line, from 1

 private:
  bool refill();

  ByteSource& source_;
  std::size_t limit_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, filled_ = 0;
  std::int64_t number_ = 0;
};

}  // namespace switchyard
