// From gradient leaves to gradients: dense tensors are summed over all virtual ranks, expert
// tensors over the replica groups that hold a copy, both in canonical order. Also the global
// gradient norm, which counts each tensor once, and clipping by it.
#pragma once

#include <cstddef>
#include <optional>

#include "comm/canonical.hpp"
#include "comm/comm.hpp"
#include "comm/layout.hpp"
#include "optim/update_share.hpp"
#include "step/gradient_listener.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// Made once for the parameters of a process; it owns the communicators, the schedules and the room
// of the sums. Told during the last backward pass which dense gradients are final, it sums them
// while the others are still computed.
class GradientReducer final : public GradientListener {
 public:
  // All three must outlive it, at the same addresses. Collective over comm.
  GradientReducer(const Comm& comm, const Layout& layout, ParamSet& params);
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // begin() and finish() frame the sums of a step; all leaves must be final at finish(), which sets
  // the gradient of every parameter to the sum over all leaves of the run, with the same bits on
  // every process that holds the tensor. Collective over comm.
  void begin();
  void complete_from(std::size_t param) override;
  void advance();  // lets messages move on; to be called often in between
  void finish();

 private:
  const Layout& layout_;
  ParamSet& params_;
  std::optional<Comm> holders_;  // the processes with the same experts; unset with one group
  CanonicalSum<float> dense_;
  std::optional<CanonicalSum<float>> experts_;
};

// The same in one call. Collective over comm.
void synchronize_gradients(const Comm& comm, const Layout& layout, ParamSet& params);

// The square root of the sum of squares of all gradients of the whole model, in f64: blocks of
// 4,096 elements in block order, then dense tensors in the model's order; each expert's tensors in
// the model's order, then experts in the canonical tree; last the sum of both. The same bits on
// every process. Collective over comm.
double gradient_norm(const Comm& comm, const Layout& layout, const ParamSet& params);

// Scales all gradients so that their global norm, currently `norm`, is at most `limit`; with a
// share, only those of its rows. Not collective.
void clip_gradients(ParamSet& params, double norm, double limit,
                    const UpdateShare* share = nullptr);

}  // namespace switchyard
