// A scratch directory shared by all processes of a communicator; removed when all have released it.
#pragma once

#include <memory>
#include <string>

#include "comm/comm.hpp"
#include "support/scratch_directory.hpp"

namespace switchyard::test {

class SharedDirectory {
 public:
  explicit SharedDirectory(const Comm& comm) : comm_(comm) {
    if (comm.rank() == Rank{0}) own_ = std::make_unique<ScratchDirectory>();
    path_ = broadcast_string(comm, own_ ? own_->path() : "", Rank{0});
  }
  ~SharedDirectory() { barrier(comm_); }
  SharedDirectory(const SharedDirectory&) = delete;
  SharedDirectory& operator=(const SharedDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  const Comm& comm_;
  std::unique_ptr<ScratchDirectory> own_;
  std::string path_;
};

}  // namespace switchyard::test
