#include "files/sha256.hpp"

#include <openssl/evp.h>

#include <cassert>
#include <stdexcept>

namespace switchyard {
namespace {

void check(int openssl_result) {
  if (openssl_result != 1) throw std::runtime_error("OpenSSL failed to compute a SHA-256");
}

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  check(context_->evp != nullptr);
  check(EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr));
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()));
  return *this;
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest;
  unsigned size = 0;
  check(EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(digest.data()), &size));
  assert(size == digest.size());
  return digest;
}

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const std::byte b : bytes) {
    hex += digits[std::to_integer<unsigned>(b) >> 4];
    hex += digits[std::to_integer<unsigned>(b) & 15];
  }
  return hex;
}

std::string Sha256::hex() { return to_hex(finish()); }

std::string sha256_hex(std::span<const std::byte> bytes) { return Sha256().update(bytes).hex(); }

std::string sha256_hex(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

std::string unlike(const std::string& digest, const std::string& expected) {
  const auto shortened = [](const std::string& hex) {
    return hex.empty() ? "none" : hex.substr(0, 12) + (hex.size() > 12 ? "…" : "");
  };
  return "SHA-256 " + shortened(digest) + ", not " + shortened(expected);
}

}  // namespace switchyard
