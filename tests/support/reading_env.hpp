// An Env that counts the bytes that are read through it, by file.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "support/fault_env.hpp"

namespace switchyard::test {

class ReadingEnv final : public FaultEnv {
 public:
  // The bytes read since construction from files whose path contains `part`.
  std::int64_t bytes_of(const std::string& part) const {
    std::int64_t sum = 0;
    for (const auto& [path, bytes] : read_)
      if (path.find(part) != path.npos) sum += bytes;
    return sum;
  }

  std::unique_ptr<ReadableFile> open(const std::string& path) const override {
    return std::make_unique<File>(FaultEnv::open(path), read_[path]);
  }

 private:
  class File final : public ReadableFile {
   public:
    File(std::unique_ptr<ReadableFile> real, std::int64_t& bytes)
        : real_(std::move(real)), bytes_(bytes) {}

    std::int64_t size() const override { return real_->size(); }
    void read_at(std::int64_t offset, std::span<std::byte> into) const override {
      real_->read_at(offset, into);
      bytes_ += std::ssize(into);
    }

   private:
    std::unique_ptr<ReadableFile> real_;
    std::int64_t& bytes_;
  };

  mutable std::map<std::string, std::int64_t> read_;
};

}  // namespace switchyard::test
