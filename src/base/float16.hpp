// IEEE half precision as a read-only storage type, for files written by other programs.
#pragma once

#include <bit>
#include <cstdint>

namespace switchyard {

struct float16 {
  std::uint16_t bits = 0;
};

// Exact under any floating-point mode, for infinities, NaNs with their payload and subnormals too
// (half-precision subnormals are normal numbers in f32).
inline float to_float(float16 value) {
  const std::uint32_t sign = std::uint32_t{value.bits & 0x8000u} << 16;
  const std::uint32_t exponent = value.bits >> 10 & 0x1fu, fraction = value.bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  const std::uint32_t widened = exponent == 0x1f ? 0xffu : exponent + (127 - 15);
  return std::bit_cast<float>(sign | widened << 23 | fraction << 13);
}

}  // namespace switchyard
