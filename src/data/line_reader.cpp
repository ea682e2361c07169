#include "data/line_reader.hpp"

#include <cstring>

namespace switchyard {

LineReader::LineReader(ByteSource& source, std::size_t limit)
    : source_(source), limit_(limit), buffer_(1 << 18) {}

bool LineReader::refill() {
  at_ = 0;
  filled_ = source_.read(buffer_);
  return filled_ > 0;
}

LineReader::Result LineReader::next(std::string& line) {
  line.clear();
  if (at_ == filled_ && !refill()) return Result::end;
  ++number_;
  bool too_long = false, ended = false;
  while (!ended && (at_ < filled_ || refill())) {
    const char* begin = buffer_.data() + at_;
    const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', filled_ - at_));
    const std::size_t count = newline ? static_cast<std::size_t>(newline - begin) : filled_ - at_;
    too_long = too_long || line.size() + count > limit_;
    if (!too_long) line.append(begin, count);
    at_ += count + (newline ? 1 : 0);
    ended = newline != nullptr;
  }
  if (too_long) return Result::too_long;
  if (line.ends_with('\r')) line.pop_back();
  if (number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
  return Result::line;
}

}  // namespace switchyard
