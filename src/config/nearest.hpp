// "Did you mean …?": the name that a misspelt word most likely stands for. Knows nothing of what
// the names mean.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace switchyard {

// The number of insertions, deletions, replacements and swaps of adjacent letters that turn `a`
// into `b`.
int edit_distance(std::string_view a, std::string_view b);

// The closest of `names` by edit distance, ignoring case, if at most a third of the word differs or
// if the word (three letters or more) is a prefix of the name; otherwise "".
std::string nearest(std::string_view word, std::span<const std::string> names);

}  // namespace switchyard
