// From the outputs of one step on all processes to canonical figures: values are gathered in order
// of virtual rank and micro-step and added by the same tree everywhere, so every process holds the
// same bits and all decisions taken from them are taken alike. Knows no files and no clock.
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
  double loss = 0;        // cross-entropy in nats per real target token of the step
  double extra_loss = 0;  // what label smoothing and z-loss add to it
  Buffer<LayerStatistics> layers;

  // Unscaled, summed over the sparse layers.
  double balance_loss() const;
  double z_loss() const;
};

// Of a step's micro-steps, a batch and an output each. Collective over comm.
StepStatistics gather_statistics(const Comm& comm, const Layout& layout,
                                 std::span<const Batch> batches,
                                 std::span<const Transformer::Output> outputs);

// What is minimised: loss/total of metrics.proto.
double total_loss(const StepStatistics& statistics, const ModelConfig& config);

}  // namespace switchyard
