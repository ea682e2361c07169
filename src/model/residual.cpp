#include "model/residual.hpp"

#include <algorithm>

#include "model/linear.hpp"
#include "tensor/ops.hpp"

namespace switchyard {

template <class T>
Tensor<float> Norm::forward(const ParamSet& params, View<const float> x, View<T> y) const {
  Tensor<float> inverse_rms = Tensor<float>::uninitialized(1, x.rows);
  rms_norm_forward(x, params[scale].value.flat(), epsilon, y, inverse_rms.flat());
  return inverse_rms;
}

void Norm::backward(ParamSet& params, View<const float> dy, View<const float> x,
                    const Tensor<float>& inverse_rms, View<float> dx) const {
  Param& param = params[scale];
  const auto ranks = static_cast<std::int64_t>(param.leaves.size());
  const auto rows = static_cast<std::size_t>(x.rows / ranks);
  for (std::int64_t i = 0; i < ranks; ++i) {
    const auto leaf = static_cast<std::size_t>(i);
    rms_norm_backward(rows_of_rank(dy, ranks, i), rows_of_rank(x, ranks, i), param.value.flat(),
                      inverse_rms.flat().subspan(leaf * rows, rows), rows_of_rank(dx, ranks, i),
                      param.leaves[leaf].sum().flat());
  }
}

template <class In>
void Residual::normalise(StepContext& context, const ParamSet& params, Tensor<float> h,
                         ResidualSaved<In>& saved) const {
  const ScopedPhase phase(context.timer, phase_);
  saved.h = std::move(h);
  saved.x = Tensor<In>::uninitialized(saved.h.rows(), saved.h.cols());
  saved.inverse_rms = norm_.forward(params, std::as_const(saved).h.view(), saved.x.view());
}

void Residual::join(StepContext& context, const Sequence& sequence, View<const float> h,
                    View<float> y) const {
  const ScopedPhase phase(context.timer, phase_);
  dropout_.apply(context, sequence, y);
  add(h, y);
}

Tensor<float> Residual::dropped_gradient(StepContext& context, const Sequence& sequence,
                                         View<const float> dh) const {
  if (dropout_.rate_in(context) == 0) return {};
  const ScopedPhase phase(context.timer, phase_);
  Tensor<float> dy = Tensor<float>::uninitialized(dh.rows, dh.cols);
  std::copy_n(dh.data, dh.size(), dy.data());
  dropout_.apply(context, sequence, dy.view());
  return dy;
}

#define SWITCHYARD_INSTANTIATE(In)                                                          \
  template Tensor<float> Norm::forward(const ParamSet&, View<const float>, View<In>) const; \
  template void Residual::normalise(StepContext&, const ParamSet&, Tensor<float>,           \
                                    ResidualSaved<In>&) const;

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
