#include "cli/arguments.hpp"

#include <vector>

#include "cli/nearest.hpp"

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

// `--output "$RUN"` with RUN unset.
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
  const std::vector<std::string> words(arguments.begin(), arguments.end());
  const int exact = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
  po::variables_map values;
  try {
    po::store(
        po::command_line_parser(words).options(options).positional(positional).style(exact).run(),
        values);
    po::notify(values);
    refuse_empty(command, values);
  } catch (const po::unknown_option& error) {
    const std::string name = error.get_option_name().substr(0, error.get_option_name().find('='));
    const std::string close = nearest(name, option_names(options));
    refuse(command, "there is no option " + name,
           close.empty() ? "" : "did you mean " + close + "?");
  } catch (const po::too_many_positional_options_error&) {
    refuse(command, "too many words; options begin with --", "");
  } catch (const po::required_option& error) {
    refuse(command, error.get_option_name() + " is missing", "");
  } catch (const po::error& error) {
    refuse(command, error.what(), "");
  }
  return values;
}

}  // namespace switchyard
