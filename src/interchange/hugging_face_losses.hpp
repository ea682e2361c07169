// Converts the coefficients of the router losses. Hugging Face's weigh the mean over the sparse
// layers of a stack, separately for encoder and decoder. A run's weigh each layer, or the mean over
// all layers (moe.aux_loss_reduction).
#pragma once

#include <string>

#include "run.pb.h"

namespace switchyard {

// The coefficient with the same effect on the other side. The conversion is exact for the z-loss if
// both stacks have the same number of sparse layers; otherwise it preserves the sum of all layers'
// weights. For the load-balancing loss it is an approximation, because Hugging Face joins the
// layers of a stack before it multiplies fractions and probabilities.
double our_loss_coefficient(double theirs, const RunConfig& config);
double their_loss_coefficient(double ours, const RunConfig& config);

// What an import reports about the conversion, for the configuration it has read. "" where nothing
// was converted.
struct LossNotes {
  std::string conversion;
  std::string unequal_stacks;  // printed as a warning
};
LossNotes loss_notes(const RunConfig& config);

}  // namespace switchyard
