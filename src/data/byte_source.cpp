#include "data/byte_source.hpp"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/error.hpp"
#include "files/env.hpp"

namespace switchyard {

namespace {

std::unique_ptr<ReadableFile> open_file(const std::string& path) {
  if (std::filesystem::is_directory(path))
    throw Error(ExitCode::missing_input, path + " is a directory, not a text file");
  if (::access(path.c_str(), R_OK) != 0)
    throw Error(ExitCode::missing_input, "cannot read " + path + ": " + std::strerror(errno));
  return PosixEnv().open(path);
}

class PlainFile final : public ByteSource {
 public:
  explicit PlainFile(const std::string& path) : file_(open_file(path)) {}

  std::size_t read(std::span<char> into) override {
    const auto left = static_cast<std::size_t>(file_->size() - consumed_);
    into = into.first(std::min(into.size(), left));
    file_->read_at(consumed_, std::as_writable_bytes(into));
    consumed_ += std::ssize(into);
    return into.size();
  }
  std::int64_t consumed() const override { return consumed_; }
  void skip_to(std::int64_t offset) override {
    consumed_ = std::clamp(offset, consumed_, file_->size());
  }

 private:
  std::unique_ptr<ReadableFile> file_;
  std::int64_t consumed_ = 0;
};

class GzipFile final : public ByteSource {
 public:
  explicit GzipFile(const std::string& path) : file_(path), buffer_(1 << 16) {
    refill();
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(buffer_[i]); };
    if (stream_.avail_in < 2 || byte(0) != 0x1f || byte(1) != 0x8b)
      throw Error(ExitCode::damaged_data, path + " is named .gz but is not gzip data",
                  "rename it, or leave it out");
    if (inflateInit2(&stream_, 15 + 16) != Z_OK)  // 16: expect gzip's own header and checksum
      throw Error(ExitCode::io_error, "zlib cannot start on " + path);
  }
  ~GzipFile() override { inflateEnd(&stream_); }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;

  std::size_t read(std::span<char> into) override {
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = static_cast<uInt>(into.size());
    while (stream_.avail_out > 0 && !ended_) {
      if (stream_.avail_in == 0) refill();
      if (stream_.avail_in == 0) {
        end(inside_member_ ? "the file ends inside its gzip data" : "");
      } else {
        inflate_some();
      }
    }
    return into.size() - stream_.avail_out;
  }
  std::int64_t consumed() const override { return file_.consumed() - stream_.avail_in; }
  // Skipped bytes have to be decompressed all the same.
  void skip_to(std::int64_t offset) override {
    std::vector<char> unpacked(buffer_.size());
    while (consumed() < offset && read(unpacked) > 0) {
    }
  }
  std::optional<std::string> damage() const override { return damage_; }

 private:
  void refill() {
    stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_in = static_cast<uInt>(file_.read(buffer_));
  }

  void inflate_some() {
    if (!inside_member_) {
      inflateReset(&stream_);
      inside_member_ = true;
    }
    const int status = inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      inside_member_ = false;
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      end(std::string("damaged gzip data (") + (stream_.msg ? stream_.msg : "zlib error") + ")");
    }
  }

  void end(const std::string& damage) {
    ended_ = true;
    if (!damage.empty()) damage_ = damage;
  }

  PlainFile file_;
  std::vector<char> buffer_;
  z_stream stream_{};
  bool inside_member_ = false, ended_ = false;
  std::optional<std::string> damage_;
};

}  // namespace

std::unique_ptr<ByteSource> open_bytes(const std::string& path) {
  if (path.ends_with(".gz")) return std::make_unique<GzipFile>(path);
  return std::make_unique<PlainFile>(path);
}

}  // namespace switchyard
