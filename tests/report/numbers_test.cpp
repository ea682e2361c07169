#include "report/numbers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace switchyard {
namespace {

TEST(Grouped, PutsCommasBetweenThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-100), "-100");
  EXPECT_EQ(grouped(-1000), "-1,000");
}

TEST(FixedWidth, ShowsAsManyDecimalsAsFit) {
  EXPECT_EQ(fixed_width(3.4123, 5), "3.412");
  EXPECT_EQ(fixed_width(9.9999, 5), "10.00");
  EXPECT_EQ(fixed_width(123.456, 5), "123.5");
  EXPECT_EQ(fixed_width(12345, 5), "12345");
  EXPECT_EQ(fixed_width(36, 3), " 36");
  EXPECT_EQ(fixed_width(1234567, 3), "1234567");
}

TEST(ClockText, CountsHours) {
  EXPECT_EQ(clock_text(0.4), "0:00:00");
  EXPECT_EQ(clock_text(372), "0:06:12");
  EXPECT_EQ(clock_text(100 * 3600 + 59.6), "100:01:00");
}

TEST(Percent, IsAShareWithSoManyDecimals) {
  EXPECT_EQ(percent(1, 0.1234), "12.3%");
  EXPECT_EQ(percent(0, 1), "100%");
  EXPECT_EQ(decimals(3, -2.5), "-2.500");
}

TEST(ShortCount, HasFourCharactersAndAUnit) {
  EXPECT_EQ(short_count(19900), "19.9 k");
  EXPECT_EQ(short_count(1250000), "1.25 M");
  EXPECT_EQ(short_count(999), " 999  ");
}

TEST(Decimals, HoldTheLargestDouble) {
  EXPECT_EQ(decimals(0, std::numeric_limits<double>::max()).size(), 309u);
}

}  // namespace
}  // namespace switchyard
