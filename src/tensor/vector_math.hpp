// Elementary functions whose bits are ours: polynomials the compiler vectorises, the same on every CPU
// and in every lane, unlike a libm's.
#pragma once

#include <bit>
#include <cstdint>

namespace switchyard {

// e^x within 2 ulp over the range where the result is normal; 0 below, +inf above; NaN stays NaN.
inline float fast_exp(float x) {
  constexpr float log2e = 1.44269504088896341f;
  constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  const float clamped = x < -87.33654f ? -87.33654f : (x > 88.72283f ? 88.72283f : x);
  const float shifted = clamped * log2e + 12582912.0f;  // 1.5 * 2^23: rounds to the nearest integer
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * ln2_high) - n * ln2_low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2^n in two factors, so that n = 128 does not overflow the exponent field.
  const auto ni = static_cast<std::int32_t>(n);
  const std::int32_t half = ni >> 1;
  const float scale = std::bit_cast<float>((half + 127) << 23);
  const float rest = std::bit_cast<float>((ni - half + 127) << 23);
  const float result = p * scale * rest;
  return x < -87.33654f ? 0.0f : result + (x - x);  // x - x: NaN and infinity come through
}

}  // namespace switchyard
