// The text file of a machine's constants (proto/machine.proto): reads it strictly, and writes what
// was measured. It knows what a valid file is, not what the constants are used for.
#pragma once

#include <span>
#include <string>

#include "plan/machine.hpp"

namespace switchyard {

// Reads files that merge in order, the later ones over the earlier. Throws one Error: missing_input
// where there is no such file, usage with FILE:LINE:COLUMN for anything that is not in the format,
// and with the field for a value that is missing or out of range.
Machine read_machine_files(std::span<const std::string> paths);

// origin: comment lines at its head, without "# ". The result reads back as the same constants.
std::string machine_text(const Machine& machine, std::span<const std::string> origin);

}  // namespace switchyard
