#include "data/example_file.hpp"

#include <algorithm>
#include <span>

#include "base/error.hpp"
#include "data/line_reader.hpp"
#include "files/sha256.hpp"

namespace switchyard {

bool is_example_file(std::string_view path) { return path.ends_with(".jsonl"); }

ExampleFile::ExampleFile(const Env& env, const std::string& path)
    : path_(path), file_(env.open(path)) {
  scan();
  if (lines_.empty())
    throw Error(ExitCode::missing_input, path + " holds no example",
                "write lines of {\"inputs\": X, \"targets\": Y} into it");
}

void ExampleFile::scan() {
  Sha256 hash;
  std::string buffer;
  Line line{0, 0, 1};  // the current line
  bool blank = true;   // whether the current line is blank so far
  for (std::int64_t at = 0; at < file_->size();) {
    buffer.resize(static_cast<std::size_t>(std::min(piece_bytes, file_->size() - at)));
    const auto bytes = std::as_writable_bytes(std::span(buffer));
    file_->read_at(at, bytes);
    hash.update(bytes);
    at += std::ssize(buffer);
    for (std::size_t begin = 0; begin < buffer.size();) {
      const std::size_t newline = buffer.find('\n', begin);
      const std::string_view part = std::string_view(buffer).substr(begin, newline - begin);
      begin += part.size() + 1;
      line.bytes += std::ssize(part);
      blank = blank && is_blank(part);
      if (newline == buffer.npos) continue;
      if (!blank) append(line);
      line = {line.offset + line.bytes + 1, 0, line.number + 1};
      blank = true;
    }
  }
  if (!blank) append(line);
  sha256_ = hash.hex();
}

void ExampleFile::append(const Line& line) {
  lines_.push_back(line);
  if (line.bytes > longest_line)
    throw Error(ExitCode::damaged_data, place(size() - 1) + ": longer than 16 MiB",
                "is it one example a line?");
}

std::string ExampleFile::line(std::int64_t i) const {
  const Line& line = lines_[static_cast<std::size_t>(i)];
  std::string text(static_cast<std::size_t>(line.bytes), '\0');
  file_->read_at(line.offset, std::as_writable_bytes(std::span(text)));
  return text;
}

std::string ExampleFile::place(std::int64_t i) const {
  return path_ + ":" + std::to_string(lines_[static_cast<std::size_t>(i)].number);
}

}  // namespace switchyard
