// What this program asks of the processor in words of its own: denormals flushed to zero, and a
// CRC-32C by instruction. Here and in tensor/wide.hpp alone is an architecture named; each has a
// plain way beside it. Knows nothing of why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace switchyard {

enum class Architecture { x86_64, arm64, other };

#if defined(__x86_64__)
inline constexpr Architecture architecture = Architecture::x86_64;
#elif defined(__aarch64__)
inline constexpr Architecture architecture = Architecture::arm64;
#else
inline constexpr Architecture architecture = Architecture::other;
#endif

// Has the calling thread, and threads that it makes later, take denormals for zero in operands and
// results. False where this architecture has no such mode that is known here.
bool flush_denormals_to_zero();

// Whether the calling thread does.
bool flushes_denormals_to_zero();

// As crc32c of base/crc32c.hpp; nothing where the processor has no instruction for it.
std::optional<std::uint32_t> crc32c_by_instruction(std::span<const std::byte> bytes,
                                                   std::uint32_t seed);

}  // namespace switchyard
