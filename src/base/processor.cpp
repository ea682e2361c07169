#include "base/processor.hpp"

#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace switchyard {

#if defined(__x86_64__)

namespace {

constexpr unsigned flush_bits = 0x8040;  // MXCSR: flush to zero, denormals are zero

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

bool flush_denormals_to_zero() {
  _mm_setcsr(_mm_getcsr() | flush_bits);
  return true;
}

bool flushes_denormals_to_zero() { return (_mm_getcsr() & flush_bits) == flush_bits; }

std::optional<std::uint32_t> crc32c_by_instruction(std::span<const std::byte> bytes,
                                                   std::uint32_t seed) {
  if (!__builtin_cpu_supports("sse4.2")) return std::nullopt;
  return crc32c_sse42(bytes, seed);
}

#elif defined(__aarch64__)

namespace {

constexpr std::uint64_t flush_bit = 1 << 24;  // FPCR.FZ

std::uint64_t control_register() {
  std::uint64_t value;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}

}  // namespace

bool flush_denormals_to_zero() {
  asm volatile("msr fpcr, %0" : : "r"(control_register() | flush_bit));
  return true;
}

bool flushes_denormals_to_zero() { return (control_register() & flush_bit) != 0; }

std::optional<std::uint32_t> crc32c_by_instruction(std::span<const std::byte>, std::uint32_t) {
  return std::nullopt;
}

#else

bool flush_denormals_to_zero() { return false; }

bool flushes_denormals_to_zero() { return false; }

std::optional<std::uint32_t> crc32c_by_instruction(std::span<const std::byte>, std::uint32_t) {
  return std::nullopt;
}

#endif

}  // namespace switchyard
