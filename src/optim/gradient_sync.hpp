// From gradient leaves to gradients: dense tensors are summed over all virtual ranks, expert
// tensors over the replica groups that hold a copy, both in canonical order. Also the global
// gradient norm, which counts each tensor once, and clipping by it.
#pragma once

#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// Sets the gradient of every parameter to the sum over all leaves of the run, with the same bits on
// every process that holds the tensor. Collective over comm.
void synchronize_gradients(const Comm& comm, const Layout& layout, ParamSet& params);

// The square root of the sum of squares of all gradients of the whole model, in f64: blocks of
// 4,096 elements in block order, tensors in order of name, each expert once. The same bits on every
// process. Collective over comm.
double gradient_norm(const Comm& comm, const Layout& layout, const ParamSet& params);

// Scales all gradients so that their global norm, currently `norm`, is at most `limit`. Not
// collective.
void clip_gradients(ParamSet& params, double norm, double limit);

}  // namespace switchyard
