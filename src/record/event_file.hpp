// TensorBoard's event files on disk: their names, their frames and checksums, and what stays of the
// files of earlier starts. Of an event it knows the step and the time, not what it tells. Process 0
// alone.
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

// The file of one start of a run. A file once left is never written to again, so that whoever reads
// along needs no more than the bytes it has not seen; names sort in the order of the starts.
class EventFile {
 public:
  // A new file in `directory`. Of earlier starts' files there the steps 1 … `step` are kept (where
  // the checkpoint stands that the run goes on from); what follows is cut off: later steps, which
  // will be taken again, and a record that is torn or damaged.
  EventFile(Env& env, const std::string& directory, const std::string& host, std::int64_t step);

  // Sets the time; the record is in the hands of the operating system when it returns.
  void append(tensorboard::Event event);
  // The records survive a power failure too.
  void sync() { file_->sync(); }

 private:
  std::unique_ptr<WritableFile> file_;
};

}  // namespace switchyard
