// From the outputs of one step on all processes to canonical figures: values are gathered in order
// of virtual rank and micro-step and added by the same tree everywhere, so every process holds the
// same bits and all decisions taken from them are taken alike. Knows no files and no clock.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "metrics.pb.h"
#include "model/batch.hpp"
#include "model/transformer.hpp"

namespace switchyard {

// One sparse layer over all virtual ranks of the run.
struct LayerStatistics {
  std::string name;  // "encoder.block.1"
  std::int64_t real_tokens = 0, dropped_tokens = 0;
  std::int64_t moved_rows = 0;                  // kept rows whose expert another process owns
  std::vector<std::int64_t> tokens_per_expert;  // [E] wanted, before capacity
  double balance_loss = 0;                      // mean over routing groups
  double z_loss = 0;                            // mean over real tokens
  double confidence_sum = 0, entropy_sum = 0;   // over real tokens
};

struct StepStatistics {
  double loss = 0;        // cross-entropy in nats a real target token of the step
  double extra_loss = 0;  // what label smoothing and z-loss add to it
  std::vector<LayerStatistics> layers;
};

// Of a step's micro-steps, a batch and an output each. Collective over comm.
StepStatistics gather_statistics(const Comm& comm, const Layout& layout,
                                 std::span<const Batch> batches,
                                 std::span<const Transformer::Output> outputs);

// Writes loss, loss/total, aux, moe/… and bytes/a2a of the record.
void record_statistics(const StepStatistics& statistics, const ModelConfig& config,
                       StepRecord& record);

}  // namespace switchyard
