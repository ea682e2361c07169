// The experts a process owns: one product forward and two backward for each (expert, group), over all
// the group's rows for it. Knows rows and weights; not where the rows came from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "moe/dispatcher.hpp"
#include "moe/mlp.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// The parameters of one owned expert, as indices into the process's ParamSet.
struct ExpertParams {
  std::size_t wi = 0, wi_1 = 0, wo = 0;  // wi_1 only when gated
};

struct ExpertsSaved {
  std::vector<MlpSaved> batches;  // one for each of exchange.batches
};

// x [owned rows, D] as gathered -> y likewise. `owned`: the process's experts in order; batches refer
// to them by expert number minus owned_first.
ExpertsSaved experts_forward(Work& work, const ParamSet& params, std::span<const ExpertParams> owned, ExpertId owned_first,
                             std::span<const ExpertBatch> batches, Activation activation, const HiddenDropout& dropout,
                             View<const float> x, View<float> y);
// Adds to leaf i of the expert's gradients for the i-th group this process serves (first_group + i).
void experts_backward(Work& work, ParamSet& params, std::span<const ExpertParams> owned, ExpertId owned_first,
                      GroupId first_group, std::span<const ExpertBatch> batches, Activation activation,
                      const HiddenDropout& dropout, const ExpertsSaved& saved, View<const float> x,
                      View<const float> dy, View<float> dx);

}  // namespace switchyard
