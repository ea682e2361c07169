// Fails in the requested way, for program_test: `alike` on every process with the same text,
// `alone` on the last process while the others wait, `differently` on every process with a text of
// its own; `without_threads` as with an MPI library that allows one thread alone. `never`: every
// process prints its process id and runs until it is killed.
#include <mpi.h>
#include <unistd.h>

#include <iostream>
#include <optional>
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

// In place of the library's, whose own name is PMPI_Init_thread.
extern "C" int MPI_Init_thread(int* argc, char*** argv, int required, int* provided) {
  const int code = PMPI_Init_thread(argc, argv, required, provided);
  if ((*argv)[1] == std::string("without_threads")) *provided = MPI_THREAD_SINGLE;
  return code;
}

int main(int argc, char** argv) {
  std::optional<switchyard::Session> session;
  std::optional<switchyard::Comm> ending;
  try {
    session.emplace(argc, argv);
    const switchyard::Comm world = switchyard::Comm::world(*session);
    ending.emplace(world.duplicate());
    fail(world, argv[1]);
  } catch (const std::exception& failure) {
    return static_cast<int>(ending ? switchyard::report_failure(failure, *ending)
                                   : switchyard::report_failure(failure));
  }
  return 0;
}
