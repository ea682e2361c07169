// Synthetic text with a large vocabulary and some structure, for tests that prepare data.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "base/philox.hpp"

namespace switchyard::test {

// `documents` lines of about `words` words each, drawn from 20,000 synthetic words by a Zipf-like
// law; each word tends to be followed by its neighbour, so that there is something to learn.
inline std::string synthetic_text(std::int64_t documents, std::int64_t words) {
  const std::string consonants = "bcdfghjklmnprstvwz", vowels = "aeiou";
  const auto word = [&](std::uint64_t number) {
    std::string text;
    for (std::uint64_t rest = number * 7919 + 13; rest > 0; rest /= 90) {
      text += consonants[rest % 18];
      text += vowels[rest / 18 % 5];
    }
    return text;
  };
  const RandomStream stream(1, Purpose::data_order, 0, 0);
  std::string text;
  std::uint64_t current = 0;
  for (std::int64_t d = 0; d < documents; ++d) {
    for (std::int64_t w = 0; w < words; ++w) {
      const auto draw = stream.block(static_cast<std::uint64_t>(d), static_cast<std::uint64_t>(w));
      const double u = unit_double(draw[0], draw[1]);
      const auto fresh = static_cast<std::uint64_t>(std::pow(20000.0, u)) - 1;
      current = draw[2] % 3 == 0 ? (current + 1) % 20000 : fresh;
      text += word(current);
      text += w + 1 == words ? ".\n" : " ";
    }
  }
  return text;
}

}  // namespace switchyard::test
