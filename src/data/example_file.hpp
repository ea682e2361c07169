// A file of examples, a JSON line each: where its lines are, and any one of them at a time. In
// memory stand 24 bytes per line. Knows nothing of what a line says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "files/env.hpp"

namespace switchyard {

// FILE.jsonl is a file of examples; any other path means prepared data.
bool is_example_file(std::string_view path);

class ExampleFile {
 public:
  // Reads the file once, for its lines and its hash; blank lines count for nothing.
  // Error(missing_input): no such file, or no line in it; Error(damaged_data): a line longer than
  // 16 MiB, with its place.
  ExampleFile(const Env& env, const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& sha256() const { return sha256_; }  // 64 hex digits
  std::int64_t size() const { return std::ssize(lines_); }

  // Of example i, 0 … size()-1, from any thread.
  std::string line(std::int64_t i) const;
  std::string place(std::int64_t i) const;  // "file.jsonl:7"

 private:
  struct Line {
    std::int64_t offset, bytes, number;
  };

  void scan();
  void append(const Line& line);

  std::string path_;
  std::unique_ptr<ReadableFile> file_;
  std::string sha256_;
  std::vector<Line> lines_;
};

}  // namespace switchyard
