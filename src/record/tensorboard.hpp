// What a run writes for TensorBoard: the figures of every step under their names in metrics.jsonl,
// tokens per expert as histograms, and the configuration as text and as hyper-parameters. Nothing
// else reads it, so an error while writing it is a warning and the run continues. Only process 0
// uses it.
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

// One value per figure (the axis is `step`); a layer's figures are named like
// "moe/layers/encoder.block.1/z_loss". "moe/tokens_per_expert/encoder.block.1" is a histogram over
// expert numbers: expert e is the bucket from e to e + 1.
tensorboard::Summary summary_of(const StepRecord& record);

// The unchanged `config_text` for TensorBoard's text page, and each of its options for the page
// that compares runs.
tensorboard::Summary summary_of_configuration(const std::string& config_text);

class TensorBoard {
 public:
  struct Start {
    std::string directory;    // of the event files
    std::string host;         // of this process, used in file names
    std::string config_text;  // a RunConfig in text format
    std::int64_t step = 0;    // steps taken so far
  };

  TensorBoard(Env& env, Log& log, const Start& start);

  void append(const StepRecord& record);
  // For a step already written: adds what `after` has and `before` lacks.
  void append_added(const StepRecord& before, const StepRecord& after);
  void sync();

 private:
  void append(std::int64_t step, tensorboard::Summary summary);
  // Runs `write`. If it fails, warns once and writes nothing more in this start.
  void attempt(const std::function<void()>& write);

  Log& log_;
  std::optional<EventFile> file_;  // null after an error
};

}  // namespace switchyard
