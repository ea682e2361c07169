// An Env in which the n-th write operation fails, or every operation that a test selects, as after
// a full disk or a crash; also records the operations in order.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "files/env.hpp"

namespace switchyard::test {

enum class Fault {
  once,     // the operation fails after writing half of its data
  forever,  // so do all later operations, as if the process had died
};

class FaultEnv : public Env {
 public:
  static constexpr int never = std::numeric_limits<int>::max();

  // Operations count from 0.
  explicit FaultEnv(int fail_at = never, Fault fault = Fault::once)
      : fail_at_(fail_at), fault_(fault) {}

  // Every operation for which `refuses` returns true fails, such as "append RUN/metrics.jsonl".
  explicit FaultEnv(std::function<bool(const std::string& operation)> refuses)
      : FaultEnv(never, Fault::once) {
    refuses_ = std::move(refuses);
  }

  bool reached() const { return std::ssize(operations_) > fail_at_; }
  const std::vector<std::string>& operations() const { return operations_; }

  std::unique_ptr<WritableFile> create(const std::string& path) override {
    step("create " + path);
    return std::make_unique<File>(*this, real_.create(path), path);
  }
  std::unique_ptr<WritableFile> open_for_append(const std::string& path) override {
    step("open_for_append " + path);
    return std::make_unique<File>(*this, real_.open_for_append(path), path);
  }
  void rename(const std::string& from, const std::string& to) override {
    step("rename " + from + " " + to);
    real_.rename(from, to);
  }
  void truncate(const std::string& path, std::int64_t size) override {
    step("truncate " + path);
    real_.truncate(path, size);
  }
  void remove_file(const std::string& path) override {
    step("remove_file " + path);
    real_.remove_file(path);
  }
  void remove_tree(const std::string& path) override {
    step("remove_tree " + path);
    real_.remove_tree(path);
  }
  void make_directories(const std::string& path) override {
    step("make_directories " + path);
    real_.make_directories(path);
  }
  void sync_directory(const std::string& path) override {
    step("sync_directory " + path);
    real_.sync_directory(path);
  }
  std::unique_ptr<ReadableFile> open(const std::string& path) const override {
    if (before_open) before_open(path);
    return real_.open(path);
  }
  std::vector<std::string> list_directory(const std::string& path) const override {
    return real_.list_directory(path);
  }
  bool exists(const std::string& path) const override { return real_.exists(path); }
  bool is_directory(const std::string& path) const override { return real_.is_directory(path); }
  std::int64_t file_size(const std::string& path) const override { return real_.file_size(path); }
  std::string identity(const std::string& path) const override { return real_.identity(path); }

  // Called just before a file is opened for reading, to simulate another process.
  std::function<void(const std::string& path)> before_open;

 private:
  class File final : public WritableFile {
   public:
    File(FaultEnv& env, std::unique_ptr<WritableFile> real, std::string path)
        : env_(env), real_(std::move(real)), path_(std::move(path)) {}

    void append(std::span<const std::byte> bytes) override {
      const std::string operation = "append " + path_;
      if (env_.fails_next(operation)) real_->append(bytes.first(bytes.size() / 2));
      env_.step(operation);
      real_->append(bytes);
    }
    void sync() override {
      env_.step("sync " + path_);
      real_->sync();
    }
    void close() override {
      env_.step("close " + path_);
      real_->close();
    }

   private:
    FaultEnv& env_;
    std::unique_ptr<WritableFile> real_;
    std::string path_;
  };

  bool fails_next(const std::string& operation) const {
    const auto next = std::ssize(operations_);
    return next == fail_at_ || (fault_ == Fault::forever && next > fail_at_) ||
           (refuses_ && refuses_(operation));
  }
  void step(const std::string& operation) {
    const bool fails = fails_next(operation);
    operations_.push_back(operation);
    if (fails) throw Error(ExitCode::io_error, "injected fault: " + operation);
  }

  PosixEnv real_;
  int fail_at_;
  Fault fault_;
  std::function<bool(const std::string&)> refuses_;
  std::vector<std::string> operations_;
};

}  // namespace switchyard::test
