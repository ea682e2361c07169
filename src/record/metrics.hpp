// The record of a run, RUN/metrics.jsonl: one StepRecord per line and exactly one line per step,
// however often the run was killed and resumed. It knows the format of the records, not how the
// figures are computed. Only process 0 uses it.
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

// One line without its line break, with the JSON names of metrics.proto. Doubles have the fewest
// digits that read back as the same bits.
std::string to_json(const StepRecord& record);

// Parses a line written by to_json; null becomes unset. nullopt where the line is not a record.
std::optional<StepRecord> parse_record(const std::string& line);

// A full disk must not end a run whose checkpoints may still fit, nor lose a step. Lines that
// cannot be written are kept in memory and retried with the next one, and a checkpoint stores those
// still missing.
class MetricsFile {
 public:
  // Keeps the records up to `step`, the step of the checkpoint from which the run continues, and
  // cuts off what follows: later steps, which will be repeated, and a truncated or damaged line.
  // `unwritten`: lines stored in the checkpoint, which are written now. Throws the errors of Env.
  MetricsFile(Env& env, Log& log, std::string path, std::int64_t step,
              const std::string& unwritten = "");

  const std::optional<StepRecord>& last() const { return last_; }
  // On return the line has been handed to the operating system and survives a kill of the process.
  // Otherwise it is the last line of unwritten(), with one warning per series of failures.
  void append(const StepRecord& record);
  // Replaces the last record; a crash leaves either the old file or the new one. Throws the errors
  // of Env.
  void replace_last(const StepRecord& record);
  // On return all lines except unwritten() survive a power failure. Must be called before a
  // checkpoint is committed, so that no step before a checkpoint is ever missing.
  void sync();
  const std::string& unwritten() const { return unwritten_; }

 private:
  void write();
  void attempt(const std::function<void()>& action);
  void take_back();

  Env& env_;
  Log& log_;
  std::string path_;
  // In bytes: complete lines, durable lines, and the offset of the last line.
  std::int64_t size_ = 0, durable_ = 0, last_begin_ = 0;
  std::string unwritten_;  // lines to append to the file
  bool faulty_ = false;    // whether the last attempt failed
  std::optional<StepRecord> last_;
  std::unique_ptr<WritableFile> file_;
};

// Reads the last record of a run's file without modifying the file. nullopt where there is none.
std::optional<StepRecord> last_record(const Env& env, const std::string& path);

}  // namespace switchyard
