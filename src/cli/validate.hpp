// Whether a configuration makes sense, before anything is allocated or written.
#pragma once

#include <string>

#include "data/dataset.hpp"
#include "run.pb.h"

namespace switchyard {

// Throws one Error(usage) with a sentence for each contradiction or value out of range.
// `processes`: the size of the world.
void validate(const RunConfig& config, int processes);

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
