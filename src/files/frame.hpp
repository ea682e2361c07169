// The frame around every protobuf message on disk, since protobuf itself detects neither flipped
// bits nor missing fields. It knows nothing of the messages inside.
//
//   magic[8] | u32 version | u64 length | payload | u32 crc32c of all before | SHA-256 of payload
//
// Integers are little-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "files/env.hpp"

namespace switchyard {

struct FrameKind {
  std::string_view magic;      // 8 bytes
  std::uint32_t version;       // the version that is written, and the newest that can be read
  std::string_view name;       // for messages: "checkpoint manifest"
  std::int64_t payload_limit;  // a larger payload is refused before anything is allocated
};

inline constexpr std::int64_t frame_overhead = 8 + 4 + 8 + 4 + 32;

std::string frame(const FrameKind& kind, std::string_view payload);

// Returns the payload. Error(damaged_data) with `path` and what is wrong; Error(mismatch) for a
// newer version.
std::string unframe(const FrameKind& kind, std::string_view bytes, const std::string& path);

std::string read_framed_file(const Env& env, const FrameKind& kind, const std::string& path);

}  // namespace switchyard
