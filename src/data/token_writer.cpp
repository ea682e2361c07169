#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

#include "data/token_file.hpp"
#include "data/token_format.hpp"

namespace switchyard {

namespace {

constexpr std::size_t flush_bytes = std::size_t{1} << 20;
constexpr std::int64_t lengths_at_once = std::int64_t{1} << 16;

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span<const T>(values));
}

}  // namespace

void TokenFileWriter::HashedFile::append(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (buffer_.size() >= flush_bytes) flush();
}

void TokenFileWriter::HashedFile::flush() {
  hash_.update(buffer_);
  file_->append(buffer_);
  buffer_.clear();
}

std::string TokenFileWriter::HashedFile::finish() {
  flush();
  file_->sync();
  file_->close();
  return hash_.hex();
}

TokenFileWriter::TokenFileWriter(Env& env, const std::string& path, std::int64_t vocab_size)
    : env_(env),
      path_(path),
      two_bytes_(vocab_size < token_format::two_byte_vocabulary),
      bin_(env, path + ".bin"),
      lengths_(env, path + ".lengths") {}

void TokenFileWriter::add_document(std::span<const std::int32_t> ids) {
  assert(!ids.empty() && ids.size() <= std::numeric_limits<std::int32_t>::max());
  if (two_bytes_) {
    const std::vector<std::uint16_t> narrow(ids.begin(), ids.end());
    bin_.append(bytes_of(narrow));
  } else {
    bin_.append(std::as_bytes(ids));
  }
  const auto length = static_cast<std::int32_t>(ids.size());
  lengths_.append(std::as_bytes(std::span(&length, 1)));
  ++documents_;
  tokens_ += length;
}

TokenFileWriter::Summary TokenFileWriter::finish() {
  Summary summary;
  summary.documents = documents_;
  summary.tokens = tokens_;
  summary.bin_sha256 = bin_.finish();
  lengths_.finish();
  HashedFile index(env_, path_ + ".idx");
  write_index(index);
  summary.idx_sha256 = index.finish();
  env_.remove_file(path_ + ".lengths");
  return summary;
}

void TokenFileWriter::write_index(HashedFile& index) {
  const auto header = token_format::header(two_bytes_, documents_);
  index.append(std::as_bytes(std::span(header)));

  const auto lengths = env_.open(path_ + ".lengths");
  const auto each_chunk = [&](auto&& use) {
    std::vector<std::int32_t> chunk;
    for (std::int64_t first = 0; first < documents_; first += lengths_at_once) {
      chunk.resize(static_cast<std::size_t>(std::min(lengths_at_once, documents_ - first)));
      lengths->read_at(first * 4, std::as_writable_bytes(std::span(chunk)));
      use(chunk);
    }
  };
  each_chunk([&](const std::vector<std::int32_t>& chunk) { index.append(bytes_of(chunk)); });

  std::int64_t offset = 0;
  each_chunk([&](const std::vector<std::int32_t>& chunk) {
    for (const std::int32_t length : chunk) {
      index.append(std::as_bytes(std::span(&offset, 1)));
      offset += length * std::int64_t{two_bytes_ ? 2 : 4};
    }
  });
  for (std::int64_t document = 0; document <= documents_; ++document)
    index.append(std::as_bytes(std::span(&document, 1)));
}

}  // namespace switchyard
