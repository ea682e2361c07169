// What a RUN directory holds and who may write in it. Files only; nothing of models or steps.
//
//   config.textproto   the resolved configuration of the latest start
//   metrics.jsonl      one record a step
//   events.out.tfevents.…  the same for TensorBoard, a file per start
//   log.txt            what the console said, of every start
//   build.txt          what made it: build, instruction set, hosts, of every start
//   checkpoints/       step-00000100/ …
//   saved.txt          the newest acknowledged checkpoint (record/saved_record.hpp)
//   hugging_face/      of an imported model: what its directory held beside the weights
//   lock               held by the running trainer
//   stop               made by a user: finish the step, save, leave
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "checkpoint/run_lock.hpp"
#include "comm/comm.hpp"
#include "files/env.hpp"

namespace switchyard {

struct RunPaths {
  std::string run;

  std::string config() const { return run + "/config.textproto"; }
  std::string metrics() const { return run + "/metrics.jsonl"; }
  std::string log() const { return run + "/log.txt"; }
  std::string build() const { return run + "/build.txt"; }
  std::string saved() const { return run + "/saved.txt"; }
  std::string checkpoints() const { return run + "/checkpoints"; }
  std::string hugging_face() const { return run + "/hugging_face"; }
  std::string lock() const { return run + "/lock"; }
  std::string stop() const { return run + "/stop"; }
};

// The run that a checkpoint stands in: RUN/checkpoints/step-00000100.
RunPaths run_of(const std::string& checkpoint);

// A run taken for this job: while it lives no other trainer can have it.
class RunDirectory {
 public:
  // Makes the directory where it is absent, durably and with its parents, locks it, cleans up what
  // killed starts left, and has `log` append to log.txt. Error(output_not_writable) on every
  // process, naming the holder of the lock, what cannot be written, what is there and of no run, or
  // the host that does not see the directory within `patience`. Collective.
  RunDirectory(Env& env, const Comm& comm, const std::string& path, Log& log,
               std::chrono::milliseconds patience = std::chrono::seconds(10));

  const RunPaths& paths() const { return paths_; }

 private:
  RunPaths paths_;
  std::optional<RunLock> lock_;  // process 0's
};

// Appends to build.txt, durably. Process 0 alone.
void append_provenance(Env& env, const RunPaths& paths, const std::string& text);

}  // namespace switchyard
