// The input of a start of `train`: the run's settings and data, and what the process knows about
// itself. Plain values and references, filled in by cli/train.cpp.
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
  std::int64_t validation_samples = 0;   // available samples; 0: no evaluation
  std::int64_t target_length = 0;        // T: decoder positions per row
  Vocabulary vocabulary;                 // without pieces where there is no tokenizer
  std::string digest, tokenizer_digest;  // SHA-256, hex
  std::string description;               // "31,000 documents, 1.2 M tokens"
};

struct TrainJob {
  const Comm& comm;
  Env& env;
  Log& log;  // silent on every process but 0
  const StopSignals& signals;
  Settings settings;
  TrainingData data;
  std::string run_directory;
  bool restart = false;     // --restart: a run whose checkpoints are gone may start over
  std::string config_text;  // the resolved configuration
  BuildInfo build;
  std::string host;              // of this process
  std::string version_text;      // build and machine, for build.txt
  std::string continue_command;  // shell command that continues a stopped run; on process 0
  // Called on each process once the run's directory is this job's and nothing forbids to train in
  // it. May be empty.
  std::function<void()> run_begins{};
  // The changes of this configuration that a resumed run may not make, one line each.
  std::function<std::vector<std::string>(const std::string& earlier_config_text)>
      changed_fixed_fields;

  // The number of validation samples that one evaluation uses.
  std::int64_t evaluated_samples() const {
    return std::min(settings.eval_samples, data.validation_samples);
  }
};

}  // namespace switchyard
