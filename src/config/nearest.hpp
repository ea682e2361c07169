// "Did you mean …?": the name a misspelt word most likely stands for. Knows nothing of what the
// names are.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace switchyard {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
int edit_distance(std::string_view a, std::string_view b);

// The closest of `names` by edit distance, case ignored, where at most a third of the word differs
// or where the word (three letters or more) is the name's beginning; otherwise "".
std::string nearest(std::string_view word, std::span<const std::string> names);

}  // namespace switchyard
