// SHA-256, streaming. The only header behind which OpenSSL stands.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace switchyard {

using Sha256Digest = std::array<std::byte, 32>;

// Move-only; finish() or hex() ends it and may be called once.
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

// "SHA-256 1f00a3…, not 9c3f…": for people, of two digests in hex.
std::string unlike(const std::string& digest, const std::string& expected);

}  // namespace switchyard
