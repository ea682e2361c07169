// From the outputs of one step on all processes to canonical figures. Real numbers are added over
// micro-steps in order and over virtual ranks in the canonical tree, so every process has the same
// bits and all processes decide alike. No process holds figures of more than its own virtual ranks.
// It knows no files and no clock.
#pragma once

#include <span>

#include "base/buffer.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "model/batch.hpp"
#include "model/transformer.hpp"
#include "statistics/routing_figures.hpp"

namespace switchyard {

struct StepStatistics {
  double loss = 0;        // cross-entropy in nats per real target token
  double extra_loss = 0;  // contribution of label smoothing and z-loss
  Buffer<LayerStatistics> layers;

  // Without its weight, summed over the sparse layers.
  double balance_loss() const;
  double z_loss() const;
};

// One batch and one output per micro-step of a step. Collective over comm.
StepStatistics gather_statistics(const Comm& comm, const Layout& layout,
                                 std::span<const Batch> batches,
                                 std::span<const Transformer::Output> outputs);

// The minimised objective: loss/total in metrics.proto.
double total_loss(const StepStatistics& statistics, const ModelConfig& config);

}  // namespace switchyard
