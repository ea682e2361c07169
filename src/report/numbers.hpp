// Numbers in a form for people. Pure formatting in the C locale.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace switchyard {

// Formats like printf; at most 351 characters, enough for the largest double.
template <class... Values>
std::string formatted(const char* format, Values... values) {
  char text[352];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

// "1,234,567"
std::string grouped(std::int64_t number);

// "3.14": with `count` decimals.
std::string decimals(int count, double value);

// "12.5%" for a share between 0 and 1, with `count` decimals.
std::string percent(int count, double share);

// Exactly `width` characters if the number allows it, with as many decimals as fit.
std::string fixed_width(double value, int width);

// "19.9 k", "1.25 M": four characters and a unit.
std::string short_count(double value);

// "0:06:12", hours first.
std::string clock_text(double seconds);

}  // namespace switchyard
