// A run's own record, RUN/metrics.jsonl: one StepRecord a line, each step once however often the
// run was killed and resumed. Knows the record's form, not how its numbers came about. Process 0
// alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "files/env.hpp"
#include "metrics.pb.h"

namespace switchyard {

// One line without its end, under the JSON names of metrics.proto. Doubles are written with the
// fewest digits that read back as the same bits.
std::string to_json(const StepRecord& record);

// The record of a line that to_json wrote; null becomes unset. None where the line is not a record.
std::optional<StepRecord> parse_record(const std::string& line);

// A disk without room must not end a run whose checkpoints still find some, nor may a step be
// missing: lines that cannot be written are kept and tried again with the next, and a checkpoint
// takes along those that are still missing.
class MetricsFile {
 public:
  // Keeps the records of steps 1 … `step` (where the checkpoint stands that the run goes on from)
  // and cuts off what follows: later steps, which will be taken again, and a line that is torn or
  // damaged. `unwritten` are lines that the checkpoint took along: written now. Throws what the Env
  // throws.
  MetricsFile(Env& env, Log& log, std::string path, std::int64_t step,
              const std::string& unwritten = "");

  const std::optional<StepRecord>& last() const { return last_; }
  // The line is in the hands of the operating system when it returns, and survives a kill; or it is
  // the last of unwritten(), with one warning for all that follow each other.
  void append(const StepRecord& record);
  // Replaces the last record; a crash leaves the old file or the new one. Throws what the Env
  // throws.
  void replace_last(const StepRecord& record);
  // The lines that are not unwritten() survive a power failure too. Called before a checkpoint is
  // committed, so that no step before a checkpoint is ever missing.
  void sync();
  const std::string& unwritten() const { return unwritten_; }

 private:
  void write();
  void attempt(const std::function<void()>& action);
  void take_back();

  Env& env_;
  Log& log_;
  std::string path_;
  // Bytes: of whole lines, of those that are durable, where the last line begins.
  std::int64_t size_ = 0, durable_ = 0, last_begin_ = 0;
  std::string unwritten_;  // lines that follow these
  bool faulty_ = false;    // since the last attempt
  std::optional<StepRecord> last_;
  std::unique_ptr<WritableFile> file_;
};

// The last record of a run's file, for a look at it: nothing is cut off. None where there is none.
std::optional<StepRecord> last_record(const Env& env, const std::string& path);

}  // namespace switchyard
