// What a file is that is no text in UTF-8, by its bytes. Knows bytes, and how to name and mend what
// they are; no lines.
#pragma once

#include <string>
#include <string_view>

namespace switchyard {

// Enough of a file for refuse_foreign_text() to judge by.
inline constexpr std::size_t foreign_text_sample = std::size_t{64} << 10;

// `beginning`: the first bytes of the file, unpacked where its name ends in .gz.
// Error(damaged_data) where they are of UTF-16 or UTF-32, packed, a program or the like, or hold
// NULs; and where the file is named .json or .jsonl and begins as an array, or as an object of
// several lines.
void refuse_foreign_text(const std::string& path, std::string_view beginning);

// Error(damaged_data) for a NUL further on; `place` is "file:line".
[[noreturn]] void refuse_nul(const std::string& place);

// Of a line that is no UTF-8: most bytes that are not ASCII stand alone, as the accented letters of
// West European languages do in Latin-1 and in Windows-1252, which extends it.
bool looks_like_latin1(std::string_view line);

}  // namespace switchyard
