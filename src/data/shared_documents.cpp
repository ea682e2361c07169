#include "data/shared_documents.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "data/token_format.hpp"

namespace switchyard {

namespace {

constexpr std::int64_t lengths_at_once = std::int64_t{1} << 16;
constexpr std::int64_t bytes_at_once = std::int64_t{1} << 20;

// The documents of a stream that was written a moment ago, each as a hash of its tokens.
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
      for (const std::int32_t length : lengths) visit(next(length * token_bytes_));
    }
  }

 private:
  // Of the next bytes of the stream; 64 bits are never equal by chance in practice.
  std::uint64_t next(std::int64_t bytes) {
    std::uint64_t hash = static_cast<std::uint64_t>(bytes);
    while (bytes > 0) {
      if (used_ == buffer_.size()) refill();
      const auto part = std::min(static_cast<std::size_t>(bytes), buffer_.size() - used_);
      // Every part but the last ends where the buffer does, at a multiple of two bytes.
      for (std::size_t i = 0; i < part; i += 2) {
        std::uint16_t half;
        std::memcpy(&half, buffer_.data() + used_ + i, sizeof half);
        hash = (hash ^ half) * 0x9E3779B97F4A7C15U;
        hash ^= hash >> 29;
      }
      used_ += part;
      bytes -= static_cast<std::int64_t>(part);
    }
    return hash;
  }

  void refill() {
    buffer_.resize(static_cast<std::size_t>(std::min(bytes_at_once, bin_->size() - at_)));
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
    if (hashes[i] != hashes[first]) first = i;  // the mark stands at the first of equal ones
    count += shared[first] ? 1 : 0;
  }
  return count;
}

}  // namespace switchyard
