// Parses the words after a command with Boost.Program_options, but without guessing abbreviations.
// A misspelt option gets the nearest name as a hint, and every mistake is an Error(usage) that
// names the command.
#pragma once

#include <boost/program_options.hpp>
#include <span>
#include <string>

#include "cli/command.hpp"

namespace switchyard {

// `options` are declared with po::value<T>(): `required()` for those that the command needs,
// `multitoken()->composing()` for those that take several words or may be repeated. Words that
// belong to no option fill `positional`; without it they are refused. main handles `--help` before
// this is called.
boost::program_options::variables_map parse_arguments(
    const Command& command, std::span<const std::string> arguments,
    const boost::program_options::options_description& options,
    const boost::program_options::positional_options_description& positional = {});

}  // namespace switchyard
