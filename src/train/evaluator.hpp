// The quality of a model on a fixed validation stream, the same in `train` and `evaluate`. Each
// row's loss is summed on its own and rows are added in sample order, so the figure depends neither
// on V nor on the batch size nor on processes, as long as no row depends on its neighbours
// (dropless).
#pragma once

#include <cstdint>
#include <functional>

#include "data/vocabulary.hpp"
#include "model/transformer.hpp"
#include "statistics/evaluation.hpp"
#include "train/batch_builder.hpp"

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

// context.mode is Mode::evaluate. `give_up`, where there is one, is asked between batches, with the
// same answer on every process; what was computed so far is then dropped. Collective over
// context.comm.
Evaluation evaluate(StepContext& context, const Transformer& model, const ValidationStream& stream,
                    const Keep& keep = {}, const std::function<bool()>& give_up = nullptr);

}  // namespace switchyard
