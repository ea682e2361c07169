// TensorBoard's event files on disk: their names, frames and checksums, and which records of
// earlier starts are kept. It looks only at an event's step and time, not at its contents. Only
// process 0 uses it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "files/env.hpp"
#include "tensorboard.pb.h"

namespace switchyard {

// A TFRecord: length (u64) | its masked CRC-32C | data | its masked CRC-32C, little-endian.
std::string tf_record(std::string_view data);

// The file of one start of a run. Files of earlier starts are never appended to, so a reader that
// follows along only needs to read new bytes. Names sort in the order of the starts.
class EventFile {
 public:
  // Creates a new file in `directory`. In the files of earlier starts, records up to `step`, the
  // step of the checkpoint from which the run continues, are kept. What follows is cut off: later
  // steps, which will be repeated, and truncated or damaged records.
  EventFile(Env& env, const std::string& directory, const std::string& host, std::int64_t step);

  // Sets the event's time. On return the record has been handed to the operating system.
  void append(tensorboard::Event event);
  // On return the records survive a power failure.
  void sync() { file_->sync(); }

 private:
  std::unique_ptr<WritableFile> file_;
};

}  // namespace switchyard
