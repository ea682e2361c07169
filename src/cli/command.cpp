#include "cli/command.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <vector>

#include "config/nearest.hpp"
#include "config/paths.hpp"

namespace switchyard {

std::span<const Command> commands() {
  static const Command table[] = {
      prepare_command,   train_command,   evaluate_command, compare_command, describe_command,
      benchmark_command, inspect_command, import_command,   export_command,  options_command};
  return table;
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names = {"help", "--help", "--version"};
  for (const Command& command : commands()) {
    if (name == command.name) return command;
    names.push_back(command.name);
  }
  const std::string close = nearest(name, names);
  throw Error(
      ExitCode::usage, "there is no command '" + name + "'",
      close.empty() ? "`switchyard help` lists the commands" : "did you mean " + close + "?");
}

std::string program_help() {
  std::ostringstream text;
  text << "Switchyard trains Switch Transformers on CPU clusters.\n\n"
          "usage: switchyard COMMAND [OPTION]...\n"
          "       mpirun -n PROCESSES switchyard COMMAND [OPTION]...\n\n"
          "commands:\n";
  for (const Command& command : commands()) {
    text << "  " << std::left << std::setw(10) << command.name << command.summary << "\n";
  }
  text << "  help      this text; `switchyard help COMMAND` tells more of a command\n\n"
          "`switchyard --version` prints what this program was built from.\n"
          "example: switchyard help "
       << commands()[0].name << "\n";
  return text.str();
}

std::string command_help(const Command& command) {
  std::string text =
      std::string("switchyard ") + command.name + ": " + command.summary + "\n\n" + command.help;
  const std::string scripted = "launch/local.sh -n 2 -t 1 ";
  const std::size_t at = text.find(scripted);
  if (at != std::string::npos && launch_directory().empty())  // the program has been copied alone
    text.replace(at, scripted.size(), "OMP_NUM_THREADS=1 mpirun -n 2 switchyard ");
  return text;
}

}  // namespace switchyard
