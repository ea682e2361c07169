// CRC-32C (Castagnoli): finds damaged bytes fast. It says nothing about intent; SHA-256 does that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace switchyard {

// The checksum of `bytes` appended to data whose checksum is `seed`. By the
// processor's instruction where it has one, by a table elsewhere: the same value.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

// The table way, on any machine; exposed for tests.
std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed = 0);

}  // namespace switchyard
