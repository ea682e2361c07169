// The program: memory and floating-point modes, the MPI session, one command, and the only catch
// block.
#include <malloc.h>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/failure.hpp"
#include "cli/startup.hpp"
#include "cli/version.hpp"
#include "comm/comm.hpp"
#include "tensor/denormals.hpp"

namespace switchyard {
namespace {

using Words = std::vector<std::string>;

// A step frees its buffers and the next asks for the same ones. By default glibc maps large ones
// afresh and gives them back, so that each step pays for zeroing their pages again; here they stay
// in the heap.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
}

// Without mpirun, Open MPI would start a daemon beside the program, for processes that it might
// spawn: it takes a while, and would die of a Ctrl-C that means "save and stop".
void start_no_daemon() { setenv("OMPI_MCA_ess_singleton_isolated", "1", 0); }

bool asks_for_help(const std::string& word) { return word == "--help" || word == "-h"; }

// What needs no MPI: help and version. Nothing for any other command line.
std::optional<std::string> information(const Words& words) {
  if (words.empty()) return std::nullopt;
  if (words[0] == "--version") return version_text();
  if (words[0] == "help" && words.size() > 1) return command_help(find_command(words[1]));
  if (words[0] == "help" || asks_for_help(words[0])) return program_help();
  for (const std::string& word : words) {
    if (asks_for_help(word)) return command_help(find_command(words[0]));
  }
  return std::nullopt;
}

ExitCode run(const Comm& world, const Words& words) {
  if (words.empty()) {
    if (world.rank() == Rank(0)) std::cerr << program_help();
    return ExitCode::usage;
  }
  const Command& command = find_command(words[0]);
  require_one_job(world, words);
  warn_of_crowding(world, words);
  return command.run(world, std::span(words).subspan(1));
}

ExitCode run_program(int argc, char** argv) {
  std::optional<Session> session;
  std::optional<Comm> world, ending;
  try {
    set_flush_to_zero();  // before any thread exists: each inherits it
    keep_freed_memory();
    const Words words(argv + 1, argv + argc);
    if (const auto text = information(words)) {
      std::cout << *text;
      return ExitCode::done;
    }
    start_no_daemon();
    session.emplace(argc, argv);
    world.emplace(Comm::world(*session));
    ending.emplace(world->duplicate());
    return run(*world, words);
  } catch (const std::exception& failure) {
    return ending ? report_failure(failure, *ending) : report_failure(failure);
  }
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) { return static_cast<int>(switchyard::run_program(argc, argv)); }
