// From patterns to the files that they name. Knows names, kinds and identities of files, and
// nothing of what is in them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace switchyard {

// The files that match any of the patterns, in byte order, each once, however many names and links
// lead to it. A pattern is a shell's: `*`, `?`, `[…]`, `{a,b}`, and `**` for directories of all
// depths. What exists as it is spelt, whole or in front, is a name and no pattern.
// Error(missing_input): a pattern that matches nothing, a directory, a link to nothing, a pipe or
// device; Error(usage): a file whose name tells no format, or `**` beside other signs.
std::vector<std::string> expand_patterns(std::span<const std::string> patterns);

// Takes those out of `files` that are also among `others`, whatever they are called there, and
// returns them.
std::vector<std::string> remove_files(std::vector<std::string>& files,
                                      std::span<const std::string> others);

// Of those that can be read.
std::int64_t bytes_on_disk(std::span<const std::string> files);

}  // namespace switchyard
