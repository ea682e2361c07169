// The contents of a run's directory, and who may write to it. It handles files only and knows
// nothing of models or steps.
//
//   config.textproto   the resolved configuration of the latest start
//   metrics.jsonl      one record per step
//   events.out.tfevents.…  the same for TensorBoard, one file per start
//   log.txt            the console output of every start
//   build.txt          build, instruction set and hosts of every start
//   checkpoints/       step-00000100/ …
//   saved.txt          the newest acknowledged checkpoint (record/saved_record.hpp)
//   .verified-HOST     what a host has verified of data beside which it cannot write
//   hugging_face/      for an imported model: the files of its directory besides the weights
//   lock               held by the running trainer
//   stop               created by a user: finish the step, save and exit
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

// The run that contains a checkpoint, RUN/checkpoints/step-00000100.
RunPaths run_of(const std::string& checkpoint);

// Exclusive ownership of a run: while this object lives, no other trainer can use the run.
class RunDirectory {
 public:
  // Creates the directory if absent, durably and with its parents, locks it, removes leftovers of
  // killed starts, and makes `log` append to log.txt. Error(output_not_writable) on every process,
  // which names the holder of the lock, what cannot be written, files in the directory that do not
  // belong to a run, or the host that does not see the directory within `patience`. Collective.
  RunDirectory(Env& env, const Comm& comm, const std::string& path, Log& log,
               std::chrono::milliseconds patience = std::chrono::seconds(10));

  const RunPaths& paths() const { return paths_; }

 private:
  RunPaths paths_;
  std::optional<RunLock> lock_;  // on process 0 only
};

// Appends to build.txt, durably. Only process 0 calls it.
void append_provenance(Env& env, const RunPaths& paths, const std::string& text);

}  // namespace switchyard
