// The experts of one process: for each (group, expert), one matrix product per kernel in forward
// and two in backward, over all rows of the group that are routed to the expert. It does not know
// where the rows came from.
#pragma once

#include <cstddef>
#include <span>

#include "moe/mlp.hpp"
#include "moe/row_exchange.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// The parameters of one owned expert, as indices into the process's ParamSet.
struct ExpertParams {
  std::size_t wi = 0, wi_1 = 0, wo = 0;  // wi_1 only when gated
};

struct OwnedExperts {
  std::span<const ExpertParams> params;  // in order of expert number; may be empty
  ExpertId first;                        // the number of params[0]
  GroupId first_group;                   // gradient leaf i belongs to group first_group + i
  Activation activation = Activation::relu;
  HiddenDropout dropout;  // token_index [owned rows]
};

template <class In>
struct ExpertsSaved {
  Tensor<In> x;         // [owned rows, D] in gathered order
  MlpSaved<In> hidden;  // hidden units of all owned rows
};

// Room for the hidden units of `rows` rows. A process without experts has no rows.
template <class In>
MlpSaved<In> hidden_room(const ParamSet& params, const OwnedExperts& experts, std::int64_t rows);

// All rows of some batches that follow one another. x [owned rows, D] in gathered order -> y [their
// rows, D]; writes their rows of `hidden`.
template <class In>
Tensor<In> experts_forward(Work& work, const ParamSet& params, const OwnedExperts& experts,
                           std::span<const ExpertBatch> batches, View<const In> x,
                           MlpSaved<In>& hidden);
// dy [owned rows, D] -> dx [their rows, D]. Adds to the gradient leaves of the batches' experts;
// experts without rows add nothing.
template <class In>
Tensor<In> experts_backward(Work& work, ParamSet& params, const OwnedExperts& experts,
                            std::span<const ExpertBatch> batches, const ExpertsSaved<In>& saved,
                            View<const In> dy);

}  // namespace switchyard
