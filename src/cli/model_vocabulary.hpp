// Reconciles the number of embedding rows, model.vocab_size, with the data of a run.
#pragma once

#include <string>

#include "data/dataset.hpp"
#include "run.pb.h"

namespace switchyard {

// What determines the model whose embedding must have a row for every id of the data: a
// configuration that can still be changed, a run that has begun, or an import.
enum class ModelOrigin { configuration, run, import };

// Throws Error(usage) unless model.vocab_size equals the vocabulary size of the data, padded or
// not; an imported model may have any larger number of rows.
void require_vocabulary(const ModelOptions& model, ModelOrigin origin, const Dataset& data);

// Sets model.vocab_size if it is unset, for commands that need no data: to that of data.train, or
// to T5's if there is no data. Returns where the value comes from.
std::string resolve_vocabulary(RunConfig& config);

}  // namespace switchyard
