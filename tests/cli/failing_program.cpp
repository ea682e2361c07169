// Fails in the requested way, for program_test: `alike` on every process with the same text,
// `alone` on the last process while the others wait, `differently` on every process with a text of
// its own. `never`: every process prints its process id and runs until it is killed.
#include <unistd.h>

#include <iostream>
#include <stdexcept>
#include <string>

#include "cli/failure.hpp"
#include "comm/comm.hpp"

namespace {

void fail(const switchyard::Comm& world, const std::string& how) {
  using switchyard::Error, switchyard::ExitCode;
  if (how == "alike") throw Error(ExitCode::missing_input, "nobody has it", "bring it");
  if (how == "differently")
    throw Error(ExitCode::io_error, "disk " + std::to_string(world.rank().value));
  if (how == "never") {
    std::cout << getpid() << std::endl;
    for (;;) pause();
  }
  if (world.rank().value == world.size() - 1) throw Error(ExitCode::io_error, "my disk is gone");
  barrier(world);
}

}  // namespace

int main(int argc, char** argv) {
  switchyard::Session session(argc, argv);
  const switchyard::Comm world = switchyard::Comm::world(session);
  const switchyard::Comm ending = world.duplicate();
  try {
    fail(world, argv[1]);
  } catch (const std::exception& failure) {
    return static_cast<int>(switchyard::report_failure(failure, ending));
  }
  return 0;
}
