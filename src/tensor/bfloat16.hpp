// bfloat16 as a storage type: the upper half of an f32, rounded to nearest even. No arithmetic.
#pragma once

#include <bit>
#include <cstdint>

namespace switchyard {

struct bfloat16 {
  std::uint16_t bits = 0;
};

inline float to_float(bfloat16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

inline bfloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return {static_cast<std::uint16_t>(bits >> 16 | 0x40)};  // NaN stays NaN
  return {static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

}  // namespace switchyard
