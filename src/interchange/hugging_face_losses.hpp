// The weights of the routers' losses, there and here. Hugging Face's coefficients weigh the mean
// over the sparse layers of a stack, for encoder and decoder each; a run's weigh every layer, or
// the mean over all (moe.aux_loss_reduction).
#pragma once

#include <string>

#include "run.pb.h"

namespace switchyard {

// The same weight on the other side, and back again; exact for the z-loss of a model whose stacks
// have equally many sparse layers. With other stacks the sum of all layers' weights is kept. The
// balancing loss is only near: there a stack's layers are joined before the product of shares and
// probabilities.
double our_loss_coefficient(double theirs, const RunConfig& config);
double their_loss_coefficient(double ours, const RunConfig& config);

// What an import says of it, of the configuration that it read. "" where nothing was converted.
struct LossNotes {
  std::string conversion;
  std::string unequal_stacks;  // a warning
};
LossNotes loss_notes(const RunConfig& config);

}  // namespace switchyard
