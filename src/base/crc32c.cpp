#include "base/crc32c.hpp"

#include <array>

#include "base/processor.hpp"

namespace switchyard {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder >> 1) ^ (remainder & 1 ? 0x82F63B78 : 0);  // bit-reversed polynomial
    }
    table[byte] = remainder;
  }
  return table;
}

constexpr auto table = make_table();

}  // namespace

std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed) {
  std::uint32_t state = ~seed;
  for (const std::byte b : bytes) {
    state = (state >> 8) ^ table[(state ^ static_cast<std::uint8_t>(b)) & 0xFF];
  }
  return ~state;
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
  const auto fast = crc32c_by_instruction(bytes, seed);
  return fast ? *fast : crc32c_portable(bytes, seed);
}

}  // namespace switchyard
