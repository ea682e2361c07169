// The words after a command, by Boost.Program_options with our manners: no guessing of
// abbreviations, a misspelt option gets the nearest name, every mistake is an Error(usage) that
// names the command.
#pragma once

#include <boost/program_options.hpp>
#include <span>
#include <string>

#include "cli/command.hpp"

namespace switchyard {

// Declared options with po::value<T>(): `required()` where the command cannot do without, and
// `multitoken()->composing()` where an option takes several words or may be repeated. Words that
// are no option fill `positional`; without it they are refused. `--help` never arrives here: main
// answers it.
boost::program_options::variables_map parse_arguments(
    const Command& command, std::span<const std::string> arguments,
    const boost::program_options::options_description& options,
    const boost::program_options::positional_options_description& positional = {});

}  // namespace switchyard
