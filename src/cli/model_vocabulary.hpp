// How many rows the embedding has, model.vocab_size, against the data that a run takes.
#pragma once

#include <string>

#include "data/dataset.hpp"
#include "run.pb.h"

namespace switchyard {

// Where the model is from whose rows the ids of prepared data need: a configuration that can still
// be changed, a run that has begun, or an import.
enum class ModelOrigin { configuration, run, import };

// Throws Error(usage) unless model.vocab_size is that of the data, padded or not; an imported model
// may have any more rows.
void require_vocabulary(const ModelOptions& model, ModelOrigin origin, const Dataset& data);

// Sets model.vocab_size where it is unset, for what needs no data: to that of data.train, or T5's
// without any. Says where it is from.
std::string resolve_vocabulary(RunConfig& config);

}  // namespace switchyard
