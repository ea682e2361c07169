// Keeps the program's standard output to what commands print, since machines read it. It knows
// nothing of what is printed.
#pragma once

#include <memory>
#include <streambuf>

namespace switchyard {

// While this object lives, std::cout writes to the original standard output, and descriptor 1
// refers to standard error. Output of libraries, such as oneDNN's under ONEDNN_VERBOSE, therefore
// goes to standard error. Standard streams that are closed are opened as /dev/null, so that no
// later file gets their descriptor and is written to by mistake. Must be created before any thread.
class StandardOutput {
 public:
  StandardOutput();
  ~StandardOutput();
  StandardOutput(const StandardOutput&) = delete;
  StandardOutput& operator=(const StandardOutput&) = delete;

  // Throws Error(io_error) where not everything printed could be written. A reader that has closed
  // its pipe is no error: it has read what it wanted.
  void finish();

 private:
  int descriptor_ = -1;
  std::unique_ptr<std::streambuf> buffer_;
  std::streambuf* former_ = nullptr;
};

}  // namespace switchyard
