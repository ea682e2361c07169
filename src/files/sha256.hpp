// Streaming SHA-256. OpenSSL is an implementation detail of this header.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace switchyard {

using Sha256Digest = std::array<std::byte, 32>;

// Move-only. finish() or hex() ends the computation; only one of them may be called, once.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  Sha256& update(std::span<const std::byte> bytes);
  Sha256Digest finish();
  std::string hex();  // 64 lower-case digits

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string to_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view text);

// Compares two hex digests in a form for people: "SHA-256 1f00a3…, not 9c3f…".
std::string unlike(const std::string& digest, const std::string& expected);

}  // namespace switchyard
