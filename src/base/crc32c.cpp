#include "base/crc32c.hpp"

#include <nmmintrin.h>

#include <array>
#include <cstring>

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

__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::span<const std::byte> bytes,
                                                             std::uint32_t seed) {
  std::uint64_t state = ~seed;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    state = _mm_crc32_u64(state, word);
  }
  auto tail = static_cast<std::uint32_t>(state);
  for (; left > 0; ++at, --left) tail = _mm_crc32_u8(tail, static_cast<std::uint8_t>(*at));
  return ~tail;
}

}  // namespace

std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed) {
  std::uint32_t state = ~seed;
  for (const std::byte b : bytes) {
    state = (state >> 8) ^ table[(state ^ static_cast<std::uint8_t>(b)) & 0xFF];
  }
  return ~state;
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
  return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(bytes, seed)
                                          : crc32c_portable(bytes, seed);
}

}  // namespace switchyard
