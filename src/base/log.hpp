// What the program tells its user while it runs: lines on a console stream and, once a run has a
// directory, the same lines with a time stamp in its log.txt. Only the log of rank 0 prints. A Log
// is passed as an argument; it knows nothing of ranks or of what it reports.
#pragma once

#include <fstream>
#include <ostream>
#include <string>
#include <string_view>

namespace switchyard {

class Log {
 public:
  // `console`: usually &std::cerr; null makes the log silent (every rank but 0).
  explicit Log(std::ostream* console) : console_(console) {}

  // From now on every line is also appended to the file at `path`, which is created if absent. A
  // silent log opens no file. Throws Error(output_not_writable).
  void append_to(const std::string& path);

  void info(std::string_view text) { line("", text); }
  void warning(std::string_view text);
  void error(std::string_view text) { line("error: ", text); }
  // Writes to the file only, for what the console already shows in another form.
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
