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
  const CheckpointReader& checkpoint;  // already verified
  std::string file;
  std::vector<std::string> sets;
  std::optional<double> capacity_factor;  // for a second figure with this capacity
  std::int64_t samples = 0;               // how many, from the first on; 0: all
  bool per_example = false;
};

// `config` with the assignments `sets` applied, for evaluating a saved model. Error(usage) where
// they would change the model itself. Not collective.
RunConfig changed_for_evaluation(const RunConfig& config, const std::vector<std::string>& sets,
                                 int processes);

// Evaluates dropless and in FLOAT32 unless a set says otherwise, and prints on process 0.
// Collective.
void evaluate_examples(const Comm& world, const Env& env, Log& log, const ExampleEvaluation& job);

}  // namespace switchyard
