// The fixed part of Megatron's index file, shared by writer and reader.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace switchyard::token_format {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

inline constexpr std::array<char, 9> magic = {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
inline constexpr std::uint64_t version = 1;
inline constexpr char type_i32 = 4, type_u16 = 8;
inline constexpr std::int64_t two_byte_vocabulary = 65500;  // smaller vocabularies use u16

// Offsets: magic 0, version 9, type 17, documents 18, documents + 1 at 26.
inline constexpr std::size_t header_bytes = 34;
using Header = std::array<char, header_bytes>;

inline Header header(bool two_bytes, std::int64_t documents) {
  Header bytes{};
  const std::int64_t boundaries = documents + 1;
  std::memcpy(bytes.data(), magic.data(), magic.size());
  std::memcpy(bytes.data() + 9, &version, 8);
  bytes[17] = two_bytes ? type_u16 : type_i32;
  std::memcpy(bytes.data() + 18, &documents, 8);
  std::memcpy(bytes.data() + 26, &boundaries, 8);
  return bytes;
}

}  // namespace switchyard::token_format
