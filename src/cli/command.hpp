// A command as main sees it: a name, one line, its help, and a function. Each command has one file;
// the table in command.cpp lists only existing ones.
#pragma once

#include <span>
#include <string>

#include "base/error.hpp"
#include "comm/comm.hpp"

namespace switchyard {

// How many processes a command may be started with.
enum class Processes {
  one,    // more than one process is an error
  first,  // rank 0 works and the others wait
  all     // all processes share the work
};

struct Command {
  const char* name;
  const char* summary;  // one line
  const char* help;     // usage, options, an example
  // Prints results to stdout and messages to stderr, from rank 0 only. Throws Error for a user's
  // mistake. Collective over `world`.
  ExitCode (*run)(const Comm& world, std::span<const std::string> arguments);
  Processes processes;
  // On a signal the command saves and exits (train/stop.hpp); other commands end at once.
  bool saves_when_stopped = false;
};

std::span<const Command> commands();

// Throws Error(usage) with the nearest name for an unknown command.
const Command& find_command(const std::string& name);

// The text of `switchyard help`: every command with its summary.
std::string program_help();
// The text of `switchyard help COMMAND` and `switchyard COMMAND --help`.
std::string command_help(const Command& command);

extern const Command train_command, evaluate_command, compare_command, prepare_command,
    describe_command, benchmark_command, inspect_command, import_command, export_command,
    options_command;

}  // namespace switchyard
