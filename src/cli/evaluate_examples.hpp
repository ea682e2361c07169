// `switchyard evaluate --data FILE.jsonl`: the cross-entropy of a checkpoint on examples, as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "checkpoint/reader.hpp"
#include "comm/comm.hpp"
#include "files/env.hpp"
#include "run.pb.h"

namespace switchyard {

struct ExampleEvaluation {
  const CheckpointReader& checkpoint;  // verified
  std::string file;
  std::vector<std::string> sets;
  std::optional<double> capacity_factor;  // of a second figure
  std::int64_t samples = 0;               // the first so many; 0: all
  bool per_example = false;
};

// `config` with `sets`, for the evaluation of a saved model. Error(usage) for a change of the model
// itself. Not collective.
RunConfig changed_for_evaluation(const RunConfig& config, const std::vector<std::string>& sets,
                                 int processes);

// Prints on process 0: dropless and in FLOAT32 unless a set says otherwise. Collective.
void evaluate_examples(const Comm& world, const Env& env, Log& log, const ExampleEvaluation& job);

}  // namespace switchyard
