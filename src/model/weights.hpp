// The model's parameters under their checkpoint names.
#pragma once

#include <vector>

#include "model/transformer.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// The tensors of this process; the spans point to the live weights.
std::vector<NamedTensor> weights(Transformer& model);

}  // namespace switchyard
