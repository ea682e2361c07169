// Whether a configuration makes sense, before anything is allocated or written.
#pragma once

#include "data/dataset.hpp"
#include "run.pb.h"

namespace switchyard {

// Throws one Error(usage) with a sentence for each contradiction or value out of range.
// `processes`: the size of the world.
void validate(const RunConfig& config, int processes);

// Throws Error(usage) unless model.vocab_size is that of the data, padded, or unpadded as imported
// models may have it.
void require_vocabulary(const ModelOptions& model, const Dataset& data);

}  // namespace switchyard
