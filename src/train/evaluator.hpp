// The quality of a model on a fixed validation stream, the same in `train` and `evaluate`. Each
// row's loss is summed on its own and rows are added in sample order, so the figure depends neither
// on V nor on the batch size nor on processes, as long as no row depends on its neighbours
// (dropless).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/buffer.hpp"
#include "data/vocabulary.hpp"
#include "model/transformer.hpp"
#include "train/batch_builder.hpp"
#include "train/expert_table.hpp"
#include "train/routing_figures.hpp"

namespace switchyard {

struct ValidationStream {
  const ExampleSource& source;
  Vocabulary vocabulary;
  std::int64_t samples = 0;  // 0 … samples-1 are evaluated
  BatchShape shape;  // of the batches; any number of samples fits, empty rows count for nothing
};

// What an evaluation keeps beside its losses.
struct Keep {
  std::int64_t predictions = 0;  // of the first so many samples
  bool experts = false;
  bool rows = false;
};

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
  double loss = 0;                 // nats a real target token
  double loss_text = 0;            // over text pieces alone: no sentinels, no EOS
  Buffer<LayerStatistics> layers;  // sparse, over all batches
  // Of the first samples, as many as were asked for: the most likely token at each target, given
  // the true ones before it.
  std::vector<std::vector<std::int32_t>> predictions;
  std::vector<RowLoss> rows;  // where asked for, one a sample
  ExpertTable experts;        // where asked for; the counts on process 0 alone
};

// context.mode is Mode::evaluate. `give_up`, where there is one, is asked between batches, with the
// same answer on every process; what was computed so far is then dropped. Collective over
// context.comm.
Evaluation evaluate(StepContext& context, const Transformer& model, const ValidationStream& stream,
                    const Keep& keep = {}, const std::function<bool()>& give_up = nullptr);

}  // namespace switchyard
