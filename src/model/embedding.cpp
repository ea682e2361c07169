#include "model/embedding.hpp"

#include <span>

#include "model/linear.hpp"
#include "tensor/ops.hpp"

namespace switchyard {

Tensor<float> Embedding::forward(StepContext& context, const ParamSet& params,
                                 const Sequence& sequence, const Dropout& dropout) const {
  const ScopedPhase phase(context.timer, Phase::embedding);
  const View<const float> table = params[table_].value;
  Tensor<float> h = Tensor<float>::uninitialized(sequence.positions(), table.cols);
  embedding_forward(table, sequence.ids, h.view());
  dropout.apply(context, sequence, h.view());
  return h;
}

void Embedding::backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                         const Dropout& dropout, View<float> dh) const {
  const ScopedPhase phase(context.timer, Phase::embedding);
  dropout.apply(context, sequence, dh);
  const auto tokens = static_cast<std::size_t>(sequence.rows * sequence.length);
  const std::span<const std::int32_t> ids(sequence.ids);
  for (std::int64_t i = 0; i < sequence.ranks; ++i) {
    const auto leaf = static_cast<std::size_t>(i);
    embedding_backward(rows_of_rank<const float>(dh, sequence.ranks, i),
                       ids.subspan(leaf * tokens, tokens), params[table_].leaves[leaf].sum());
  }
}

}  // namespace switchyard
