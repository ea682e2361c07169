// What an evaluation found; train/evaluator.hpp computes it. Plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.hpp"
#include "statistics/expert_table.hpp"
#include "statistics/routing_figures.hpp"

namespace switchyard {

// What one sample contributes to a loss; counts are exact in doubles.
struct RowLoss {
  double targets = 0, sum = 0;            // over all real targets
  double text_targets = 0, text_sum = 0;  // over text pieces

  void add(const RowLoss& other) {
    targets += other.targets;
    sum += other.sum;
    text_targets += other.text_targets;
    text_sum += other.text_sum;
  }
};

struct Evaluation {
  bool given_up = false;  // then nothing else here means anything
  std::int64_t samples = 0, targets = 0, text_targets = 0;
  double loss = 0;                 // nats per real target token
  double loss_text = 0;            // over text pieces alone: no sentinels, no EOS
  Buffer<LayerStatistics> layers;  // sparse, over all batches
  // Of the first samples, as many as were asked for: the most likely token at each target, given
  // the true ones before it.
  std::vector<std::vector<std::int32_t>> predictions;
  std::vector<RowLoss> rows;  // where asked for, one per sample
  ExpertTable experts;        // where asked for; the counts on process 0 alone
};

}  // namespace switchyard
