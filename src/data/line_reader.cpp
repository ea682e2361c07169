#include "data/line_reader.hpp"

#include <algorithm>
#include <cstring>

namespace switchyard {

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

LineReader::LineReader(ByteSource& source, std::size_t limit)
    : source_(source), limit_(limit), buffer_(1 << 18) {}

bool LineReader::refill() {
  at_ = 0;
  begin_ = source_.consumed();
  filled_ = source_.read(buffer_);
  if (number_ == 0 && length_ == 0) {
    const std::string_view beginning(buffer_.data(), filled_);
    by_returns_ = beginning.find('\n') == beginning.npos && beginning.find('\r') != beginning.npos;
  }
  return filled_ > 0;
}

const char* LineReader::line_end(const char* begin, const char* end) const {
  if (!by_returns_)
    return static_cast<const char*>(
        std::memchr(begin, '\n', static_cast<std::size_t>(end - begin)));
  const char* found = std::find_if(begin, end, [](char c) { return c == '\n' || c == '\r'; });
  return found == end ? nullptr : found;
}

LineReader::Result LineReader::next(std::string& line) {
  line.clear();
  if (at_ == filled_ && !refill()) return Result::end;
  if (after_return_ && buffer_[at_] == '\n') ++at_;
  after_return_ = false;
  if (at_ == filled_ && !refill()) return Result::end;
  ++number_;
  length_ = 0;
  for (bool ended = false; !ended && (at_ < filled_ || refill());) {
    const char* begin = buffer_.data() + at_;
    const char* end = line_end(begin, buffer_.data() + filled_);
    const std::size_t count = end ? static_cast<std::size_t>(end - begin) : filled_ - at_;
    length_ += static_cast<std::int64_t>(count);
    if (length_ <= static_cast<std::int64_t>(limit_)) line.append(begin, count);
    at_ += count + (end ? 1 : 0);
    ended = end != nullptr;
    after_return_ = by_returns_ && end != nullptr && *end == '\r';
  }
  if (length_ > static_cast<std::int64_t>(limit_)) return Result::too_long;
  if (line.ends_with('\r')) line.pop_back();
  if (number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  return Result::line;
}

void LineReader::skip_to(std::int64_t offset) {
  // Bytes: how many bytes of the file the buffer holds.
  const std::int64_t end = source_.consumed(), bytes = end - begin_;
  if (offset >= end) {
    at_ = filled_ = 0;
    source_.skip_to(offset);
  } else {
    if (offset <= begin_) return;
    const auto at =
        static_cast<std::size_t>(static_cast<std::int64_t>(filled_) * (offset - begin_) / bytes);
    if (at <= at_) return;
    at_ = at;
  }
  std::string rest;  // the rest of the line that contains the offset
  next(rest);
  skipped_ = true;
}

}  // namespace switchyard
