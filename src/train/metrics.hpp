// A run's own record, RUN/metrics.jsonl: one StepRecord a line, each step once however often the
// run was killed and resumed. Knows the record's form, not how its numbers came about. Process 0
// alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "files/env.hpp"
#include "metrics.pb.h"

namespace switchyard {

// One line without its end, under the JSON names of metrics.proto. Doubles are written with the
// fewest digits that read back as the same bits.
std::string to_json(const StepRecord& record);

// The record of a line that to_json wrote; null becomes unset. None where the line is not a record.
std::optional<StepRecord> parse_record(const std::string& line);

class MetricsFile {
 public:
  // Keeps the records of steps 1 … `step` (where the checkpoint stands that the run goes on from)
  // and cuts off what follows: later steps, which will be taken again, and a line that is torn or
  // damaged.
  MetricsFile(Env& env, std::string path, std::int64_t step);

  const std::optional<StepRecord>& last() const { return last_; }
  // The line is in the hands of the operating system when it returns: it survives a kill.
  void append(const StepRecord& record);
  // Replaces the last record; a crash leaves the old file or the new one.
  void replace_last(const StepRecord& record);
  // The lines survive a power failure too. Called before a checkpoint is committed, so that no step
  // before a checkpoint is ever missing.
  void sync();

 private:
  Env& env_;
  std::string path_;
  std::int64_t size_ = 0, last_begin_ = 0;  // bytes; where the last line begins
  std::optional<StepRecord> last_;
  std::unique_ptr<WritableFile> file_;
};

}  // namespace switchyard
