// Whether the files of prepared data are those that their manifests describe, judged as data.verify
// says: by reading them completely at each start, once on each host, or never.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "comm/comm.hpp"
#include "data/dataset.hpp"
#include "files/env.hpp"
#include "record/run_directory.hpp"
#include "run.pb.h"

namespace switchyard {

class DataCheck {
 public:
  // Reads the files of `data` on each host as that host sees them, shared out over its processes;
  // with ONCE, none that the host remembers to have read. Error(damaged_data) names the file.
  // Collective.
  DataCheck(const Comm& world, const Env& env, const RunPaths& run,
            std::span<const Dataset* const> data, DataOptions::Verify mode, Log& log);

  // Writes down what was read, for the next start on this host: beside the data, else in the run's
  // directory, which must exist. That neither is possible is no error. Not collective; each process
  // calls it.
  void remember(Env& env, const RunPaths& run) const;

 private:
  struct Directory {
    std::string path;
    std::set<std::string> entries{};  // of its files' stamp (data/verified_stamp.hpp)
    bool is_remembered = false;
  };
  struct File {
    ExpectedFile expected;
    std::int64_t bytes = 0;
    bool is_remembered = false;
  };

  void take(const Env& env, const Dataset& data, const std::set<std::string>& remembered);
  std::string view() const;

  std::vector<Directory> directories_;
  std::vector<File> files_;  // largest first, so that they are shared out evenly
  bool remembers_ = false;   // whether this process writes for its host
};

// What is said before so many bytes are read, while all processes wait: "" where that is short.
std::string reading_text(std::int64_t bytes);

}  // namespace switchyard
