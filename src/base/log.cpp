#include "base/log.hpp"

#include <ctime>
#include <iomanip>

#include "base/error.hpp"

namespace switchyard {

void Log::append_to(const std::string& path) {
  if (console_ == nullptr) return;
  file_ = std::ofstream(path, std::ios::app);
  if (!file_) {
    throw Error(ExitCode::output_not_writable, "cannot append to the log " + path,
                "check the directory's permissions");
  }
}

void Log::warning(std::string_view text) {
  ++warnings_;
  line("warning: ", text);
}

void Log::line(std::string_view level, std::string_view text) {
  if (console_ != nullptr) {
    console_->clear();  // an earlier failed write (full disk, closed pipe) must not drop this line
    *console_ << level << text << std::endl;
  }
  to_file(level, text);
}

void Log::to_file(std::string_view level, std::string_view text) {
  if (!file_.is_open()) return;
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  file_ << std::put_time(&utc, "%Y-%m-%dT%H:%M:%SZ ") << level << text << std::endl;
  if (file_.good()) return;
  // A full disk must not end the run, since its checkpoints may still fit: report it once and
  // continue.
  file_.close();
  console_->clear();
  *console_ << "warning: log.txt can no longer be written; lines go to the console only"
            << std::endl;
}

}  // namespace switchyard
