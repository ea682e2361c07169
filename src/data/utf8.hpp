// Well-formedness of UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace switchyard {

// Bytes of the well-formed character at the front of `text`; 0 where there is none.
std::size_t utf8_length(std::string_view text);

// The code point of one well-formed character.
char32_t utf8_code_point(std::string_view character);
// And back.
void append_utf8(std::string& text, char32_t code);

// Bytes before the first one that belongs to no well-formed character; all, if there is none.
std::size_t valid_utf8(std::string_view text);

// Replaces each byte that belongs to no well-formed character by U+FFFD; returns how many there
// were.
std::int64_t repair_utf8(std::string& text);

}  // namespace switchyard
