// The program's standard output, kept to what commands print there: it is for machines to read.
// Knows nothing of what is printed.
#pragma once

#include <memory>
#include <streambuf>

namespace switchyard {

// While it lives, std::cout writes to the standard output that the program was started with, and
// the descriptor of that name leads to standard error: there goes what libraries have to say, such
// as oneDNN's lines under ONEDNN_VERBOSE. Standard streams that are closed become /dev/null, so
// that no file is opened in their place and written to by mistake. Made before any thread.
class StandardOutput {
 public:
  StandardOutput();
  ~StandardOutput();
  StandardOutput(const StandardOutput&) = delete;
  StandardOutput& operator=(const StandardOutput&) = delete;

  // Throws Error(io_error) where not all that was printed could be written. A reader that has gone
  // has read what it wanted.
  void finish();

 private:
  int descriptor_ = -1;
  std::unique_ptr<std::streambuf> buffer_;
  std::streambuf* former_ = nullptr;
};

}  // namespace switchyard
