// From patterns to the files that match them. It knows names, types and identities of files, not
// their contents.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace switchyard {

// The files that match any of the patterns, in byte order of their names, each once even if several
// names or links lead to it. Patterns are those of a shell: `*`, `?`, `[…]`, `{a,b}`, and `**` for
// directories at any depth. A path, or leading part of one, that exists as it is written is taken
// literally. Error(missing_input): a pattern that matches nothing, a directory, a dangling link, a
// pipe or a device; Error(usage): a file name that implies no format, or a component that combines
// `**` with other characters.
std::vector<std::string> expand_patterns(std::span<const std::string> patterns);

// Removes from `files` those that are also among `others`, under whatever name, and returns them.
std::vector<std::string> remove_files(std::vector<std::string>& files,
                                      std::span<const std::string> others);

// The total size of the files that can be read.
std::int64_t bytes_on_disk(std::span<const std::string> files);

}  // namespace switchyard
