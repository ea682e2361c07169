#include "cli/standard_output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ext/stdio_filebuf.h>
#include <iostream>
#include <string>

#include "base/error.hpp"
#include "base/process.hpp"

namespace switchyard {
StandardOutput::StandardOutput() {
  open_standard_streams();
  descriptor_ = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (descriptor_ < 0) return;  // no descriptor is free: leave everything as it is
  dup2(STDERR_FILENO, STDOUT_FILENO);
  buffer_ = std::make_unique<__gnu_cxx::stdio_filebuf<char>>(descriptor_, std::ios::out);
  former_ = std::cout.rdbuf(buffer_.get());
}

StandardOutput::~StandardOutput() {
  if (!buffer_) return;
  std::cout.flush();
  std::cout.rdbuf(former_);
}

void StandardOutput::finish() {
  errno = 0;
  std::cout.flush();
  if (std::cout || has_lost_its_reader(descriptor_)) return;
  const std::string reason = errno == 0 ? "" : std::string(": ") + std::strerror(errno);
  throw Error(ExitCode::io_error, "cannot write to the standard output" + reason,
              "make room where it goes to, or raise the limit on the size of files (`ulimit -f`)");
}

}  // namespace switchyard
