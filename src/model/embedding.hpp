// From token ids to the residual stream: the embedding lookup and its dropout. Both stacks share
// the table.
#pragma once

#include <cstdint>

#include "model/dropout.hpp"
#include "model/sequence.hpp"
#include "step/step_context.hpp"
#include "tensor/param.hpp"

namespace switchyard {

class Embedding {
 public:
  // `table`: [W, D], an index into the process's ParamSet.
  explicit Embedding(std::size_t table) : table_(table) {}

  // sequence.ids -> [h*N, D].
  Tensor<float> forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                        const Dropout& dropout) const;
  // Applies the dropout to dh [h*N, D] in place and adds to the table's gradient leaves.
  void backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                const Dropout& dropout, View<float> dh) const;

 private:
  std::size_t table_;
};

}  // namespace switchyard
