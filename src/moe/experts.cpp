// Experts run one after the other; threads share the tiles of each matrix product.
#include "moe/experts.hpp"

#include <algorithm>

#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

const ExpertParams& params_of(const OwnedExperts& experts, const ExpertBatch& batch) {
  return experts.params[batch.expert.value - experts.first.value];
}

template <class In>
MlpWeights<In> weights_of(const ParamSet& params, const ExpertParams& expert,
                          Activation activation) {
  MlpWeights<In> weights{params[expert.wi].input<In>(), {}, params[expert.wo].input<In>()};
  if (activation == Activation::gated_gelu) weights.wi_1 = params[expert.wi_1].input<In>();
  return weights;
}

MlpGradients gradients_of(ParamSet& params, const ExpertParams& expert, Activation activation,
                          std::int64_t leaf) {
  MlpGradients gradients{&params[expert.wi].leaves[leaf], nullptr, &params[expert.wo].leaves[leaf]};
  if (activation == Activation::gated_gelu) gradients.wi_1 = &params[expert.wi_1].leaves[leaf];
  return gradients;
}

HiddenDropout dropout_of(const OwnedExperts& experts, const ExpertBatch& batch) {
  HiddenDropout dropout = experts.dropout;
  if (dropout.rate > 0) dropout.token_index = dropout.token_index.subspan(batch.first, batch.rows);
  return dropout;
}

std::int64_t most_rows(std::span<const ExpertBatch> batches) {
  std::int64_t most = 0;
  for (const ExpertBatch& batch : batches) most = std::max(most, batch.rows);
  return most;
}

}  // namespace

template <class In>
MlpSaved<In> hidden_room(const ParamSet& params, const OwnedExperts& experts, std::int64_t rows) {
  if (experts.params.empty()) return {};
  return {rows, params[experts.params[0].wi].spec.cols, experts.activation};
}

template <class In>
Tensor<In> experts_forward(Work& work, const ParamSet& params, const OwnedExperts& experts,
                           std::span<const ExpertBatch> batches, View<const In> x,
                           MlpSaved<In>& hidden) {
  const BatchRows range = rows_of(batches);
  auto y = Tensor<In>::uninitialized(range.rows, x.cols);
  for (const ExpertBatch& batch : batches) {
    const auto weights = weights_of<In>(params, params_of(experts, batch), experts.activation);
    mlp_forward<In, In>(work, x.row_range(batch.first, batch.rows), weights, experts.activation,
                        dropout_of(experts, batch), hidden.row_range(batch.first, batch.rows),
                        y.row_range(batch.first - range.first, batch.rows));
  }
  return y;
}

template <class In>
Tensor<In> experts_backward(Work& work, ParamSet& params, const OwnedExperts& experts,
                            std::span<const ExpertBatch> batches, const ExpertsSaved<In>& saved,
                            View<const In> dy) {
  const BatchRows range = rows_of(batches);
  auto dx = Tensor<float>::uninitialized(range.rows, dy.cols);
  auto room = hidden_room<In>(params, experts, most_rows(batches));
  for (const ExpertBatch& batch : batches) {
    const ExpertParams& expert = params_of(experts, batch);
    const MlpFlow<In> flow{dy.row_range(batch.first, batch.rows),
                           dx.row_range(batch.first - range.first, batch.rows),
                           room.row_range(0, batch.rows)};
    mlp_backward<In>(work, saved.hidden.row_range(batch.first, batch.rows),
                     saved.x.row_range(batch.first, batch.rows),
                     weights_of<In>(params, expert, experts.activation), experts.activation,
                     dropout_of(experts, batch), flow,
                     gradients_of(params, expert, experts.activation,
                                  batch.group.value - experts.first_group.value));
  }
  return rounded<In>(std::move(dx));
}

#define SWITCHYARD_INSTANTIATE(In)                                                            \
  template MlpSaved<In> hidden_room(const ParamSet&, const OwnedExperts&, std::int64_t);      \
  template Tensor<In> experts_forward(Work&, const ParamSet&, const OwnedExperts&,            \
                                      std::span<const ExpertBatch>, View<const In>,           \
                                      MlpSaved<In>&);                                         \
  template Tensor<In> experts_backward(Work&, ParamSet&, const OwnedExperts&,                 \
                                       std::span<const ExpertBatch>, const ExpertsSaved<In>&, \
                                       View<const In>);

SWITCHYARD_INSTANTIATE(float)
SWITCHYARD_INSTANTIATE(bfloat16)
#undef SWITCHYARD_INSTANTIATE

}  // namespace switchyard
