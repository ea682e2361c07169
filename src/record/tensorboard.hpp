// What a run tells TensorBoard: the figures of every step under the names of metrics.jsonl, the
// tokens of each expert as histograms, the configuration as text and as hyper-parameters. A view of
// the run that nothing else reads, so a fault in writing it is a warning and the run goes on.
// Process 0 alone.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "files/env.hpp"
#include "metrics.pb.h"
#include "record/event_file.hpp"
#include "tensorboard.pb.h"

namespace switchyard {

// A value a figure (`step` is the axis), those of a layer as "moe/layers/encoder.block.1/z_loss".
// "moe/tokens_per_expert/encoder.block.1" is a histogram over the numbers of the experts: expert e
// is the bucket from e to e + 1.
tensorboard::Summary summary_of(const StepRecord& record);

// `config_text` as it stands, for TensorBoard's page of texts, and each of its options for the one
// that compares runs.
tensorboard::Summary summary_of_configuration(const std::string& config_text);

class TensorBoard {
 public:
  struct Start {
    std::string directory;    // of the event files
    std::string host;         // of this process, for their names
    std::string config_text;  // a RunConfig
    std::int64_t step = 0;    // taken so far
  };

  TensorBoard(Env& env, Log& log, const Start& start);

  void append(const StepRecord& record);
  // Of a step that was told before: what `after` has and `before` has not.
  void append_added(const StepRecord& before, const StepRecord& after);
  void sync();

 private:
  void append(std::int64_t step, tensorboard::Summary summary);
  // Runs `write`; where it fails, says so once and writes no more in this start.
  void attempt(const std::function<void()>& write);

  Log& log_;
  std::optional<EventFile> file_;  // none after a fault
};

}  // namespace switchyard
