// What a start of `train` is given: the run's settings and data, and what the process found out
// about itself. Plain values and references; cli/train.cpp makes them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "checkpoint/run_state.hpp"
#include "comm/comm.hpp"
#include "config/settings.hpp"
#include "data/example.hpp"
#include "data/vocabulary.hpp"
#include "files/env.hpp"
#include "train/stop.hpp"

namespace switchyard {

struct TrainingData {
  const ExampleSource& training;
  const ExampleSource& validation;
  std::int64_t validation_samples = 0;   // how many there are; 0: nothing is evaluated
  std::int64_t target_length = 0;        // T: decoder positions of a row
  Vocabulary vocabulary;                 // without pieces where there is no tokenizer
  std::string digest, tokenizer_digest;  // SHA-256, hex
  std::string description;               // "31,000 documents, 1.2 M tokens"
};

struct TrainJob {
  const Comm& comm;
  Env& env;
  Log& log;  // silent on all processes but 0
  const StopSignals& signals;
  Settings settings;
  TrainingData data;
  std::string run_directory;
  bool restart = false;     // a run whose checkpoints are gone may begin again
  std::string config_text;  // the resolved configuration
  BuildInfo build;
  std::string host;              // of this process
  std::string version_text;      // what made it, for build.txt
  std::string continue_command;  // goes on with a stopped run
  // What a resumed run may not change and this configuration does, a line each.
  std::function<std::vector<std::string>(const std::string& earlier_config_text)>
      changed_fixed_fields;

  // The validation samples that an evaluation uses.
  std::int64_t evaluated_samples() const {
    return std::min(settings.eval_samples, data.validation_samples);
  }
};

}  // namespace switchyard
