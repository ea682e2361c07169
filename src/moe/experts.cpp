// One expert after the other: each product is shared among threads by its own tiles.
#include "moe/experts.hpp"

namespace switchyard {
namespace {

const ExpertParams& params_of(const OwnedExperts& experts, const ExpertBatch& batch) {
  return experts.params[batch.expert.value - experts.first.value];
}

MlpWeights weights_of(const ParamSet& params, const ExpertParams& expert, Activation activation) {
  MlpWeights weights{params[expert.wi].value, {}, params[expert.wo].value};
  if (activation == Activation::gated_gelu) weights.wi_1 = params[expert.wi_1].value;
  return weights;
}

MlpGradients gradients_of(ParamSet& params, const ExpertParams& expert, Activation activation,
                          std::int64_t leaf) {
  MlpGradients gradients{params[expert.wi].leaves[leaf], {}, params[expert.wo].leaves[leaf]};
  if (activation == Activation::gated_gelu) gradients.wi_1 = params[expert.wi_1].leaves[leaf];
  return gradients;
}

HiddenDropout dropout_of(const OwnedExperts& experts, const ExpertBatch& batch) {
  HiddenDropout dropout = experts.dropout;
  if (dropout.rate > 0) dropout.token_index = dropout.token_index.subspan(batch.first, batch.rows);
  return dropout;
}

}  // namespace

ExpertsOutput experts_forward(Work& work, const ParamSet& params, const OwnedExperts& experts,
                              std::span<const ExpertBatch> batches, Tensor<float> x) {
  ExpertsOutput out{Tensor<float>::uninitialized(x.rows(), x.cols()), {std::move(x), {}}};
  for (const ExpertBatch& batch : batches) {
    const MlpWeights weights = weights_of(params, params_of(experts, batch), experts.activation);
    out.saved.batches.push_back(mlp_forward(work, out.saved.x.row_range(batch.first, batch.rows),
                                            weights, experts.activation, dropout_of(experts, batch),
                                            out.y.row_range(batch.first, batch.rows)));
  }
  return out;
}

Tensor<float> experts_backward(Work& work, ParamSet& params, const OwnedExperts& experts,
                               std::span<const ExpertBatch> batches, const ExpertsSaved& saved,
                               View<const float> dy) {
  auto dx = Tensor<float>::uninitialized(dy.rows, dy.cols);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const ExpertBatch& batch = batches[i];
    const ExpertParams& expert = params_of(experts, batch);
    mlp_backward(work, saved.batches[i], saved.x.row_range(batch.first, batch.rows),
                 weights_of(params, expert, experts.activation), experts.activation,
                 dropout_of(experts, batch), dy.row_range(batch.first, batch.rows),
                 dx.row_range(batch.first, batch.rows),
                 gradients_of(params, expert, experts.activation,
                              batch.group.value - experts.first_group.value));
  }
  return dx;
}

}  // namespace switchyard
