#include "model/weights.hpp"

namespace switchyard {

std::vector<NamedTensor> weights(Transformer& model) {
  std::vector<NamedTensor> tensors;
  for (Param& param : model.parameters().params()) {
    tensors.push_back({.name = param.name(),
                       .rows = param.spec.rows,
                       .cols = param.spec.cols,
                       .expert = param.spec.expert,
                       .data = param.value.flat()});
  }
  return tensors;
}

}  // namespace switchyard
