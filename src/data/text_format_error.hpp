// The first error of protobuf's text format parser, with its position.
#pragma once

#include <google/protobuf/io/tokenizer.h>

#include <string>

namespace switchyard {

struct TextFormatError final : google::protobuf::io::ErrorCollector {
  int line = -1, column = 0;  // both counted from 0
  std::string message;        // "" if there was no error

  void AddError(int error_line, int error_column, const std::string& text) override {
    if (!message.empty()) return;
    line = error_line, column = error_column, message = text;
  }
  // "3:14: Expected ..."
  std::string text() const {
    return std::to_string(line + 1) + ":" + std::to_string(column + 1) + ": " + message;
  }
};

}  // namespace switchyard
