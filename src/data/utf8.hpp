// Well-formedness of UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace switchyard {

// The length in bytes of the well-formed character at the front of `text`; 0 if there is none.
std::size_t utf8_length(std::string_view text);

// The code point of one well-formed character.
char32_t utf8_code_point(std::string_view character);
// Appends the UTF-8 encoding of `code`.
void append_utf8(std::string& text, char32_t code);

// The number of bytes before the first one that is not part of a well-formed character; all bytes
// if there is none.
std::size_t valid_utf8(std::string_view text);

// Replaces each byte that is not part of a well-formed character by U+FFFD; returns the number of
// such bytes.
std::int64_t repair_utf8(std::string& text);

}  // namespace switchyard
