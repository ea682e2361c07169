// Recognises files that are not UTF-8 text by their bytes, and explains how to convert them. It
// knows nothing of lines.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

// How much of a file's beginning refuse_foreign_text() needs.
inline constexpr std::size_t foreign_text_sample = std::size_t{64} << 10;

// `beginning`: the first bytes of the file, decompressed if its name ends in .gz.
// Error(damaged_data) where they are UTF-16 or UTF-32, an archive, a program or the like, or
// contain NULs; also where the file is named .json or .jsonl and starts with an array or an object
// that spans several lines.
void refuse_foreign_text(const std::string& path, std::string_view beginning);

// Throws Error(damaged_data) for a NUL further on; `place` is "file:line".
[[noreturn]] void refuse_nul(const std::string& place);

// For a line that is not UTF-8: whether most non-ASCII bytes stand alone, like the accented letters
// of West European languages in Latin-1 and in its extension Windows-1252.
bool looks_like_latin1(std::string_view line);

}  // namespace switchyard
