// Elementary functions with reproducible bits: polynomials that the compiler vectorises, with the
// same result on every CPU and in every vector lane, unlike those of a libm. (Square roots and
// quotients are exactly rounded by IEEE 754 already.)
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <initializer_list>

namespace switchyard {

// e^x within 2 ulp where the result lies between the smallest normal number and 2^127.5. Below that
// range the result is 0 or a denormal, depending on the thread's flush mode; far above it, +inf.
// NaN stays NaN. Branch-free, so that it vectorises. Fused multiply-adds are written explicitly,
// never left to the compiler.
inline float fast_exp(float x) {
  constexpr float least = -88, most = 89;  // beyond these, 2^n is 0 or infinite
  constexpr float log2e = 1.44269504088896341f;
  constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  // Adding 1.5 * 2^23 rounds to the nearest integer. With another 127, the low bits of the sum are
  // the biased exponent of 2^n.
  constexpr float to_integer = 12582912.0f + 127.0f;
  const float above = least > x ? least : x;
  const float clamped = most < above ? most : above;
  const float shifted = std::fma(clamped, log2e, to_integer);
  const float n = shifted - to_integer;
  const float r = std::fma(n, -ln2_low, std::fma(n, -ln2_high, clamped));
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  p = std::fma(p, r, 1.0f);
  p = std::fma(p, r, 1.0f);
  return p * std::bit_cast<float>(std::bit_cast<std::uint32_t>(shifted) << 23);
}

// The natural logarithm of a positive normal number, within 2 ulp of f64; +inf and NaN are returned
// unchanged.
inline double fast_log(double x) {
  constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  constexpr double sqrt_half = 0.70710678118654752440;
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1).
  const auto bits = std::bit_cast<std::uint64_t>(x);
  auto e = static_cast<std::int64_t>(bits >> 52) - 1022;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffff) | 0x3fe0000000000000);
  if (m < sqrt_half) m *= 2, --e;
  const double s = (m - 1) / (m + 1), t = s * s;
  double p = 1.0 / 23;
  for (const double odd : {21., 19., 17., 15., 13., 11., 9., 7., 5., 3.}) p = p * t + 1 / odd;
  const auto n = static_cast<double>(e);
  const double result = n * ln2_high + (2 * s + (2 * s * t * p + n * ln2_low));
  return x - x == 0 ? result : x;
}

// e^x in f64 for |x| <= 700, within 2 ulp.
inline double fast_exp_f64(double x) {
  constexpr double log2e = 1.44269504088896340736;
  constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  constexpr double to_integer = 0x1.8p52;  // adding it rounds to the nearest integer
  const double shifted = x * log2e + to_integer, n = shifted - to_integer;
  const double r = (x - n * ln2_high) - n * ln2_low;  // at most ln(2) / 2 in size
  double p = 1;
  for (int i = 14; i > 0; --i) p = p * r / i + 1;  // Taylor series
  const auto exponent = static_cast<std::int64_t>(n) + 1023;
  return p * std::bit_cast<double>(exponent << 52);
}

// base^exponent for a positive base, with an error of a few ulp per unit of |exponent log(base)|.
inline double fast_power(double base, double exponent) {
  return fast_exp_f64(exponent * fast_log(base));
}

// base^exponent for an integer exponent >= 0.
inline double integer_power(double base, std::int64_t exponent) {
  double result = 1;
  for (double square = base; exponent > 0; exponent /= 2, square *= square)
    if (exponent % 2 == 1) result *= square;
  return result;
}

// The cosine of pi x for x in [0, 1], within 2^-52.
inline double fast_cos_pi(double x) {
  constexpr double pi = 3.14159265358979323846;
  if (x > 0.5) return -fast_cos_pi(1 - x);
  // For small x the series of the cosine, near 1/2 that of the sine of the remaining angle.
  const bool near_zero = x <= 0.25;
  const double t = pi * (near_zero ? x : 0.5 - x), square = t * t;
  double series = 1;
  for (int i = near_zero ? 18 : 19; i > 1; i -= 2) series = 1 - series * square / (i * (i - 1));
  return near_zero ? series : series * t;
}

}  // namespace switchyard
