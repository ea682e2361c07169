#include "base/crc32c.hpp"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace switchyard {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(Crc32c, ReproducesTheKnownAnswers) {
  const std::vector<std::byte> zeros(32);
  for (const auto& checksum : {crc32c, crc32c_portable}) {
    EXPECT_EQ(checksum(bytes_of("123456789"), 0), 0xe3069283u);
    EXPECT_EQ(checksum(zeros, 0), 0x8a9136aau);
    EXPECT_EQ(checksum({}, 0), 0u);
  }
}

TEST(Crc32c, GoesOnFromWhereAnEarlierPartEnded) {
  const std::string_view text = "every length and every cut of this text";
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const auto bytes = bytes_of(text.substr(0, length));
    const std::uint32_t whole = crc32c_portable(bytes);
    for (std::size_t cut = 0; cut <= length; ++cut) {
      EXPECT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), whole);
    }
  }
}

}  // namespace
}  // namespace switchyard
