// CRC-32C (Castagnoli): a fast check for accidental damage. It does not protect against deliberate
// changes; SHA-256 does (files/sha256.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace switchyard {

// The checksum of `bytes` appended to data whose checksum is `seed`. Uses the processor's
// instruction where it has one and a table elsewhere; both give the same value.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

// The table-driven implementation, which runs on any CPU; exposed for tests.
std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed = 0);

}  // namespace switchyard
