// Both half-precision formats widen exactly: every value is compared with arithmetic on the meaning
// of its bits.
#include "base/float16.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/bfloat16.hpp"

namespace switchyard {
namespace {

// The value of a format with these numbers of exponent and fraction bits, by definition (IEEE 754).
double value_of(std::uint32_t bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto fraction = static_cast<double>(bits & ((1u << fraction_bits) - 1));
  const auto exponent = static_cast<int>(bits >> fraction_bits & ((1u << exponent_bits) - 1));
  const double sign = bits >> (exponent_bits + fraction_bits) ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1)
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign *
         std::ldexp(std::ldexp(1.0, fraction_bits) + fraction, exponent - bias - fraction_bits);
}

void expect_same(float widened, double value, std::uint32_t bits) {
  EXPECT_EQ(std::isnan(widened), std::isnan(value)) << bits;
  if (std::isnan(value)) return;
  EXPECT_EQ(static_cast<double>(widened), value) << bits;
  EXPECT_EQ(std::signbit(widened), std::signbit(value)) << bits;
}

TEST(Float16, WidensEveryValueExactly) {
  for (std::uint32_t bits = 0; bits < 1 << 16; ++bits)
    expect_same(to_float(float16{static_cast<std::uint16_t>(bits)}), value_of(bits, 5, 10), bits);
}

TEST(Bfloat16, WidensEveryValueExactlyAndComesBack) {
  for (std::uint32_t bits = 0; bits < 1 << 16; ++bits) {
    const bfloat16 half{static_cast<std::uint16_t>(bits)};
    const double value = value_of(bits, 8, 7);
    expect_same(to_float(half), value, bits);
    if (std::isnan(value)) continue;
    EXPECT_EQ(to_bfloat16(to_float(half)).bits, bits);
  }
}

}  // namespace
}  // namespace switchyard
