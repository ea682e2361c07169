#include "data/token_file.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

#include "base/buffer.hpp"
#include "base/error.hpp"
#include "data/token_format.hpp"

namespace switchyard {

namespace {

Error damaged(const std::string& file, const std::string& reason) {
  return Error(ExitCode::damaged_data, file + " is damaged or no token file: " + reason,
               "prepare the data again");
}

std::uint64_t u64_at(const token_format::Header& header, std::size_t offset) {
  std::uint64_t value;
  std::memcpy(&value, header.data() + offset, 8);
  return value;
}

template <class T>
Buffer<T> read_entries(const ReadableFile& file, std::int64_t offset, std::int64_t count) {
  Buffer<T> entries(static_cast<std::size_t>(count));
  file.read_at(offset, std::as_writable_bytes(std::span(entries)));
  return entries;
}

}  // namespace

TokenFile::TokenFile(const Env& env, const std::string& path, std::int32_t id_limit)
    : path_(path), id_limit_(id_limit), bin_(env.open(path + ".bin")) {
  read_header(*env.open(path + ".idx"));
  if (bin_->size() % token_bytes_ != 0)
    throw damaged(path + ".bin", "its " + std::to_string(bin_->size()) +
                                     " bytes are no whole number of tokens of " +
                                     std::to_string(token_bytes_) + " bytes");
  tokens_ = bin_->size() / token_bytes_;
}

void TokenFile::read_header(const ReadableFile& index) {
  const std::string name = path_ + ".idx";
  token_format::Header header;
  if (index.size() < static_cast<std::int64_t>(header.size()))
    throw damaged(name, std::to_string(index.size()) + " bytes are too few for a header");
  index.read_at(0, std::as_writable_bytes(std::span(header)));
  if (!std::equal(token_format::magic.begin(), token_format::magic.end(), header.begin()))
    throw damaged(name, "it does not begin with MMIDIDX");
  if (u64_at(header, 9) != token_format::version)
    throw damaged(name, "version " + std::to_string(u64_at(header, 9)) + " is unknown");
  const char type = header[17];
  if (type != token_format::type_u16 && type != token_format::type_i32)
    throw damaged(name, "token type " + std::to_string(static_cast<unsigned char>(type)) +
                            " is not supported (8: 16 bits, 4: 32 bits)");
  token_bytes_ = type == token_format::type_u16 ? 2 : 4;

  // Each document takes 4 + 8 + 8 bytes. Dividing the file size cannot overflow, while multiplying
  // the count could.
  const std::uint64_t documents = u64_at(header, 18);
  const auto room = static_cast<std::uint64_t>(index.size()) - token_format::header_bytes;
  if (room < 8 || documents != (room - 8) / 20 || (room - 8) % 20 != 0 ||
      u64_at(header, 26) != documents + 1)
    throw damaged(name, std::to_string(index.size()) + " bytes do not fit the " +
                            std::to_string(documents) + " documents it claims");
  documents_ = static_cast<std::int64_t>(documents);
}

Buffer<std::int32_t> TokenFile::tokens(std::int64_t first, std::int64_t count) const {
  assert(first >= 0 && count >= 0 && count <= tokens_ && first <= tokens_ - count);
  Buffer<std::int32_t> ids;
  if (token_bytes_ == 2) {
    const auto narrow = read_entries<std::uint16_t>(*bin_, first * 2, count);
    ids.assign(narrow.begin(), narrow.end());
  } else {
    ids = read_entries<std::int32_t>(*bin_, first * 4, count);
  }
  const auto wrong = std::find_if(ids.begin(), ids.end(),
                                  [&](std::int32_t id) { return id < 0 || id >= id_limit_; });
  if (wrong != ids.end())
    throw damaged(path_ + ".bin", "token " + std::to_string(first + (wrong - ids.begin())) +
                                      " is " + std::to_string(*wrong) + ", but ids end at " +
                                      std::to_string(id_limit_ - 1));
  return ids;
}

}  // namespace switchyard
