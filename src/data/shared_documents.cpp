#include "data/shared_documents.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "data/token_format.hpp"
#include "data/vocabulary.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t lengths_at_once = std::int64_t{1} << 16;

// Reads a stream that was just written, and hashes the tokens of each document.
class DocumentHashes {
 public:
  DocumentHashes(const Env& env, const std::string& path)
      : index_(env.open(path + ".idx")), bin_(env.open(path + ".bin")) {
    token_format::Header header;
    index_->read_at(0, std::as_writable_bytes(std::span(header)));
    token_bytes_ = header[17] == token_format::type_u16 ? 2 : 4;
    std::memcpy(&documents_, header.data() + 18, sizeof documents_);
  }

  template <class Visit>
  void for_each(Visit&& visit) {
    std::vector<std::int32_t> lengths;
    for (std::int64_t first = 0; first < documents_; first += lengths_at_once) {
      lengths.resize(static_cast<std::size_t>(std::min(lengths_at_once, documents_ - first)));
      const auto at = static_cast<std::int64_t>(token_format::header_bytes) + first * 4;
      index_->read_at(at, std::as_writable_bytes(std::span(lengths)));
      for (const std::int32_t length : lengths)
        if (const auto hash = next(length * token_bytes_)) visit(*hash);
    }
  }

 private:
  // The hash of the next `bytes` bytes of the stream; nullopt where they contain an unknown piece.
  // Equal 64-bit hashes of different documents do not occur in practice.
  std::optional<std::uint64_t> next(std::int64_t bytes) {
    std::uint64_t hash = static_cast<std::uint64_t>(bytes);
    bool known = true;
    while (bytes > 0) {
      if (used_ == buffer_.size()) refill();
      const auto part = std::min(static_cast<std::size_t>(bytes), buffer_.size() - used_);
      // No token spans the end of the buffer, whose size is a multiple of four.
      for (std::size_t end = used_ + part; used_ < end;) {
        const std::uint32_t token = next_token();
        known = known && token != Vocabulary::unknown;
        hash = (hash ^ token) * 0x9E3779B97F4A7C15U;
        hash ^= hash >> 29;
      }
      bytes -= static_cast<std::int64_t>(part);
    }
    return known ? std::optional(hash) : std::nullopt;
  }

  std::uint32_t next_token() {
    std::uint16_t narrow;
    std::uint32_t token;
    if (token_bytes_ == 2) {
      std::memcpy(&narrow, buffer_.data() + used_, sizeof narrow);
      token = narrow;
    } else {
      std::memcpy(&token, buffer_.data() + used_, sizeof token);
    }
    used_ += static_cast<std::size_t>(token_bytes_);
    return token;
  }

  void refill() {
    buffer_.resize(static_cast<std::size_t>(std::min(piece_bytes, bin_->size() - at_)));
    bin_->read_at(at_, buffer_);
    at_ += std::ssize(buffer_);
    used_ = 0;
  }

  std::unique_ptr<ReadableFile> index_, bin_;
  std::int64_t documents_ = 0, token_bytes_ = 0, at_ = 0;
  std::vector<std::byte> buffer_;
  std::size_t used_ = 0;
};

}  // namespace

std::int64_t count_shared_documents(const Env& env, const std::string& held_out,
                                    const std::string& training) {
  std::vector<std::uint64_t> hashes;
  DocumentHashes(env, held_out).for_each([&](std::uint64_t hash) { hashes.push_back(hash); });
  std::sort(hashes.begin(), hashes.end());
  std::vector<bool> shared(hashes.size());
  DocumentHashes(env, training).for_each([&](std::uint64_t hash) {
    const auto [first, end] = std::equal_range(hashes.begin(), hashes.end(), hash);
    if (first != end) shared[static_cast<std::size_t>(first - hashes.begin())] = true;
  });
  std::int64_t count = 0;
  for (std::size_t i = 0, first = 0; i < hashes.size(); ++i) {
    if (hashes[i] != hashes[first]) first = i;  // equal hashes are marked at the first of them
    count += shared[first] ? 1 : 0;
  }
  return count;
}

}  // namespace switchyard
