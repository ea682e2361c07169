// From gradient leaves to gradients: dense tensors over all virtual ranks, expert tensors over the
// replica groups that hold a copy, in canonical order; the global norm, each tensor counted once;
// and clipping by it.
#pragma once

#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// After it, params.gradient holds the sum over all leaves of the run, the same bits on every
// process that holds the tensor. Collective over comm.
void synchronize_gradients(const Comm& comm, const Layout& layout, ParamSet& params);

// sqrt of the sum of squares of all gradients of the whole model: f64, blocks of 4,096 elements in
// block order, tensors by name, each expert once. The same bits everywhere. Collective over comm.
double gradient_norm(const Comm& comm, const Layout& layout, const ParamSet& params);

// Scales all gradients so that their global norm, which is `norm`, is `limit` where it was larger.
void clip_gradients(ParamSet& params, double norm, double limit);

}  // namespace switchyard
