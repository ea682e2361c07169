// What a command is to main: a name, one line, its help, and a function. One file a command; the
// table in command.cpp lists only what exists.
#pragma once

#include <span>
#include <string>

#include "base/error.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// How many processes a command is for.
enum class Processes {
  one,    // a world of more is refused
  first,  // rank 0 works, the others wait
  all     // they share the work
};

struct Command {
  const char* name;
  const char* summary;  // one line
  const char* help;     // usage, options, an example
  // Results to stdout, messages to stderr, from rank 0 alone. Throws Error for a user's mistake.
  // Every process of `world` calls it.
  ExitCode (*run)(const Comm& world, std::span<const std::string> arguments);
  Processes processes;
  // A signal asks it to save and leave (train/stop.hpp); the others end at once.
  bool saves_when_stopped = false;
};

std::span<const Command> commands();

// Throws Error(usage) with the nearest name.
const Command& find_command(const std::string& name);

// What `switchyard help` prints: every command with its line.
std::string program_help();
// What `switchyard help COMMAND` and `switchyard COMMAND --help` print.
std::string command_help(const Command& command);

extern const Command train_command, evaluate_command, compare_command, prepare_command,
    describe_command, benchmark_command, inspect_command, import_command, export_command,
    options_command;

}  // namespace switchyard
