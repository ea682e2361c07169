// The quality of a model on a fixed validation stream, computed the same way in `train` and
// `evaluate`. The loss of each row is summed separately and rows are added in sample order. The
// result therefore depends neither on V nor on the batch size or the number of processes, as long
// as no row depends on other rows (dropless routing).
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
  std::int64_t samples = 0;  // samples 0 … samples-1 are evaluated
  BatchShape shape;  // of the batches; any number of samples fits, empty rows count for nothing
};

// What an evaluation returns besides its losses.
struct Keep {
  std::int64_t predictions = 0;  // predictions of this many samples, from the first on
  bool experts = false;
  bool rows = false;
};

// context.mode must be Mode::evaluate. `give_up`, if set, is called between batches and must return
// the same on every process; true ends the evaluation and discards its results. Collective over
// context.comm.
Evaluation evaluate(StepContext& context, const Transformer& model, const ValidationStream& stream,
                    const Keep& keep = {}, const std::function<bool()>& give_up = nullptr);

}  // namespace switchyard
