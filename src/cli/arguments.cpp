#include "cli/arguments.hpp"

#include <limits>
#include <vector>

#include "config/nearest.hpp"

namespace switchyard {
namespace po = boost::program_options;
namespace {

std::vector<std::string> option_names(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back("--" + option->long_name());
  return names;
}

[[noreturn]] void refuse(const Command& command, const std::string& problem,
                         const std::string& hint) {
  const std::string help =
      std::string("`switchyard ") + command.name + " --help` shows its options";
  throw Error(ExitCode::usage, std::string(command.name) + ": " + problem,
              hint.empty() ? help : hint);
}

// The name of the catch-all for words that no option takes.
constexpr char excess[] = "a word too many";

void refuse_excess(const Command& command, const po::variables_map& values) {
  if (!values.count(excess)) return;
  refuse(command,
         "'" + values[excess].as<std::vector<std::string>>().front() + "' is one word too many",
         std::string("options begin with --; `switchyard ") + command.name +
             " --help` shows what it takes");
}

// Refuses an empty value, as from `--output "$RUN"` with RUN unset.
void refuse_empty(const Command& command, const po::variables_map& values) {
  for (const auto& [name, value] : values) {
    const auto* text = boost::any_cast<std::string>(&value.value());
    if (text && text->empty() && !value.defaulted())
      refuse(command, "--" + name + " is empty", "is a shell variable unset?");
  }
}

}  // namespace

po::variables_map parse_arguments(const Command& command, std::span<const std::string> arguments,
                                  const po::options_description& options,
                                  const po::positional_options_description& positional) {
  po::options_description all;
  all.add(options).add_options()(excess, po::value<std::vector<std::string>>());
  po::positional_options_description places = positional;
  if (places.max_total_count() != std::numeric_limits<unsigned>::max()) places.add(excess, -1);
  const std::vector<std::string> words(arguments.begin(), arguments.end());
  const int exact = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  po::variables_map values;
  try {
    po::store(po::command_line_parser(words).options(all).positional(places).style(exact).run(),
              values);
    refuse_excess(command, values);
    po::notify(values);
    refuse_empty(command, values);
  } catch (const po::unknown_option& error) {
    const std::string name = error.get_option_name().substr(0, error.get_option_name().find('='));
    const std::string close = nearest(name, option_names(options));
    refuse(command, "there is no option " + name,
           close.empty() ? "" : "did you mean " + close + "?");
  } catch (const po::required_option& error) {
    refuse(command, error.get_option_name() + " is missing", "");
  } catch (const po::error& error) {
    refuse(command, error.what(), "");
  }
  return values;
}

}  // namespace switchyard
