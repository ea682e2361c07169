// bfloat16 as a storage type: the upper half of an f32, rounded to nearest even. It has no
// arithmetic: each sweep is written once for float and bfloat16, widens what it reads to f32 and
// rounds what it writes.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace switchyard {

enum class Precision { float32, bfloat16 };

struct bfloat16 {
  std::uint16_t bits = 0;

  friend bool operator==(bfloat16, bfloat16) = default;
};

inline float to_float(float value) { return value; }
inline float to_float(bfloat16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

// Branch-free, so that loops over it vectorise. NaN stays NaN.
inline bfloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const std::uint32_t quiet_nan = bits >> 16 | 0x40;
  const bool is_nan = static_cast<std::int32_t>(bits & 0x7fffffff) > 0x7f800000;
  return {static_cast<std::uint16_t>(is_nan ? quiet_nan : nearest)};
}

inline float round_to_bfloat16(float value) { return to_float(to_bfloat16(value)); }

// T: float or bfloat16.
template <class T>
T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return to_bfloat16(value);
  }
}

}  // namespace switchyard
