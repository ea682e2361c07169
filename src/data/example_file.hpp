// A file of examples, one JSON line each: an index of its lines, and access to any one of them.
// Keeps 24 bytes per line in memory. It knows nothing of a line's contents.
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
  // Reads the file once for its line index and its hash; blank lines are ignored.
  // Error(missing_input): the file is absent or has no lines; Error(damaged_data), with its place:
  // a line longer than 16 MiB.
  ExampleFile(const Env& env, const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& sha256() const { return sha256_; }  // 64 hex digits
  std::int64_t size() const { return std::ssize(lines_); }

  // The line of example i, 0 … size()-1. May be called from any thread.
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
