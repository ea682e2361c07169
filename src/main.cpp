// The entry point: sets up signals, streams, memory, floating-point modes and the MPI session, runs
// one command, and holds the only catch block.
#include <malloc.h>

#include <algorithm>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.hpp"
#include "cli/command.hpp"
#include "cli/failure.hpp"
#include "cli/standard_output.hpp"
#include "cli/startup.hpp"
#include "cli/version.hpp"
#include "comm/comm.hpp"
#include "data/tokenizer.hpp"
#include "tensor/denormals.hpp"
#include "train/stop.hpp"

namespace switchyard {
namespace {

using Words = std::vector<std::string>;

// Whether the command saves its work when it is asked to stop, instead of just ending.
bool saves_when_stopped(int argc, char** argv) {
  return argc > 1 && std::ranges::any_of(commands(), [&](const Command& command) {
           return command.saves_when_stopped && std::string_view(command.name) == argv[1];
         });
}

// Each step frees its buffers and the next asks for the same sizes. By default glibc maps large
// buffers anew and returns them to the system, so each step would pay for zeroing their pages
// again. With these settings they stay in the heap.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
}

bool asks_for_help(const std::string& word) { return word == "--help" || word == "-h"; }

// The text of commands that need no MPI (help and version); nullopt for any other command line.
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

// Checks for conditions under which this command would be wrong or slow on these processes.
// Collective.
void check_start(const Comm& world, const Command& command, const Words& words) {
  if (command.processes == Processes::one && world.size() > 1) {
    throw Error(
        ExitCode::usage,
        std::string(command.name) + " runs as one process, not " + std::to_string(world.size()),
        "start it without mpirun");
  }
  if (command.processes == Processes::all) require_own_launcher(world);
  require_one_job(world, words);
  if (command.processes == Processes::all) warn_of_crowding(world, words);
}

ExitCode run(const Comm& world, const Words& words) {
  if (words.empty()) {
    if (world.rank() == Rank(0)) std::cerr << program_help();
    return ExitCode::usage;
  }
  const Command& command = find_command(words[0]);
  check_start(world, command, words);
  return command.run(world, std::span(words).subspan(1));
}

ExitCode run_program(int argc, char** argv) {
  // Created before anything else, so that an early signal does not kill the process, and alive
  // until the end, so that a late one does not either.
  std::optional<StopSignals> requests;
  if (saves_when_stopped(argc, argv)) {
    requests.emplace(StopSignals::Extent::process);
  } else {
    remove_directories_on_signals();
  }
  ignore_failing_writes();
  StandardOutput output;
  std::optional<Session> session;
  std::optional<Comm> world, ending;
  try {
    set_flush_to_zero();  // before any thread is created: threads inherit the mode
    keep_freed_memory();
    const Words words(argv + 1, argv + argc);
    if (const auto text = information(words)) {
      std::cout << *text;
      output.finish();
      return ExitCode::done;
    }
    session.emplace(argc, argv);
    world.emplace(Comm::world(*session));
    ending.emplace(world->duplicate());
    const ExitCode code = run(*world, words);
    output.finish();
    return code;
  } catch (const std::exception& failure) {
    return ending ? report_failure(failure, *ending) : report_failure(failure);
  }
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  // The child process in which a tokenizer may crash: it needs no MPI and no threads.
  if (argc == 2 && argv[1] == std::string_view(switchyard::tokenizer_trial_word))
    return switchyard::run_tokenizer_trial();
  return static_cast<int>(switchyard::run_program(argc, argv));
}
