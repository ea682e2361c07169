// The result of an evaluation, computed by train/evaluator.hpp. Plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.hpp"
#include "statistics/expert_table.hpp"
#include "statistics/routing_figures.hpp"

namespace switchyard {

// What one sample contributes to a loss; the counts are exact in a double.
struct RowLoss {
  double targets = 0, sum = 0;            // over all real targets
  double text_targets = 0, text_sum = 0;  // over text pieces only

  void add(const RowLoss& other) {
    targets += other.targets;
    sum += other.sum;
    text_targets += other.text_targets;
    text_sum += other.text_sum;
  }
};

struct Evaluation {
  bool given_up = false;  // if true, all other members are meaningless
  std::int64_t samples = 0, targets = 0, text_targets = 0;
  double loss = 0;                 // nats per real target token
  double loss_text = 0;            // over text pieces only: no sentinels, no EOS
  Buffer<LayerStatistics> layers;  // sparse layers, summed over all batches
  // For the first samples, as many as requested: the most likely token at each target, given the
  // true tokens before it.
  std::vector<std::vector<std::int32_t>> predictions;
  std::vector<RowLoss> rows;  // if requested: one per sample
  ExpertTable experts;        // if requested: counts, on process 0 only
};

}  // namespace switchyard
