// What the program tells its user as it goes: lines on a console stream and, once a run has a
// directory, the same lines with a time stamp in its log.txt. Rank 0 owns the one that speaks; it
// is passed as an argument and knows nothing of ranks or of what it reports.
#pragma once

#include <fstream>
#include <ostream>
#include <string>
#include <string_view>

namespace switchyard {

class Log {
 public:
  // console: usually &std::cerr; null: silent (every rank but 0).
  explicit Log(std::ostream* console) : console_(console) {}

  // From now on also appends to this file, created if absent. A silent log opens nothing. Throws
  // Error(output_not_writable).
  void append_to(const std::string& path);

  void info(std::string_view text) { line("", text); }
  void warning(std::string_view text);
  void error(std::string_view text) { line("error: ", text); }
  // To the file alone: what the console already shows in another form.
  void file_only(std::string_view text) { to_file("", text); }

  int warnings() const { return warnings_; }

 private:
  void line(std::string_view level, std::string_view text);
  void to_file(std::string_view level, std::string_view text);

  std::ostream* console_;
  std::ofstream file_;
  int warnings_ = 0;
};

}  // namespace switchyard
