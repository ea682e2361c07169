#include "files/frame.hpp"

#include <bit>
#include <cassert>
#include <cstring>

#include "base/crc32c.hpp"
#include "base/error.hpp"
#include "files/sha256.hpp"

namespace switchyard {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::size_t header_size = 8 + 4 + 8;

template <class T>
void append_integer(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T integer_at(std::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string_view as_text(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

[[noreturn]] void damaged(const FrameKind& kind, const std::string& path, const std::string& what) {
  throw Error(ExitCode::damaged_data,
              path + " is no valid " + std::string(kind.name) + ": " + what);
}

// Checks everything that the first 20 bytes determine; returns the payload's length.
std::uint64_t check_header(const FrameKind& kind, std::string_view header,
                           const std::string& path) {
  if (header.substr(0, 8) != kind.magic) damaged(kind, path, "it begins with other bytes");
  const auto version = integer_at<std::uint32_t>(header, 8);
  if (version == 0) damaged(kind, path, "its version is 0");
  const auto length = integer_at<std::uint64_t>(header, 12);
  if (length > static_cast<std::uint64_t>(kind.payload_limit)) {
    damaged(kind, path, "it claims " + std::to_string(length) + " bytes of content");
  }
  return length;
}

}  // namespace

std::string frame(const FrameKind& kind, std::string_view payload) {
  assert(kind.magic.size() == 8);
  assert(payload.size() <= static_cast<std::size_t>(kind.payload_limit));
  std::string bytes(kind.magic);
  append_integer(bytes, kind.version);
  append_integer(bytes, static_cast<std::uint64_t>(payload.size()));
  bytes += payload;
  append_integer(bytes, crc32c(as_bytes(bytes)));
  bytes += as_text(Sha256().update(as_bytes(payload)).finish());
  return bytes;
}

std::string unframe(const FrameKind& kind, std::string_view bytes, const std::string& path) {
  if (bytes.size() < static_cast<std::size_t>(frame_overhead)) {
    damaged(kind, path, "it has only " + std::to_string(bytes.size()) + " bytes");
  }
  const std::uint64_t length = check_header(kind, bytes, path);
  if (bytes.size() != length + frame_overhead) {
    damaged(kind, path,
            "it has " + std::to_string(bytes.size()) + " bytes where its header promises " +
                std::to_string(length + frame_overhead));
  }
  const std::string_view covered = bytes.substr(0, header_size + length);
  if (crc32c(as_bytes(covered)) != integer_at<std::uint32_t>(bytes, covered.size())) {
    damaged(kind, path, "its checksum does not match");
  }
  const std::string_view payload = covered.substr(header_size);
  if (as_text(Sha256().update(as_bytes(payload)).finish()) != bytes.substr(covered.size() + 4)) {
    damaged(kind, path, "its SHA-256 does not match");
  }
  // Checked last: only an intact header can be trusted to say that a newer program wrote the file.
  if (const auto version = integer_at<std::uint32_t>(bytes, 8); version > kind.version) {
    throw Error(ExitCode::mismatch,
                path + " has format version " + std::to_string(version) +
                    "; this program reads up to " + std::to_string(kind.version),
                "use a newer build of switchyard");
  }
  return std::string(payload);
}

std::string read_framed_file(const Env& env, const FrameKind& kind, const std::string& path) {
  return unframe(kind, read_file(env, path, kind.payload_limit + frame_overhead), path);
}

}  // namespace switchyard
