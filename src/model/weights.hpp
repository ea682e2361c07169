// A model's parameters under the names that checkpoints give them.
#pragma once

#include <vector>

#include "model/transformer.hpp"
#include "tensor/named_tensor.hpp"

namespace switchyard {

// This process's share; the spans are the live weights.
std::vector<NamedTensor> weights(Transformer& model);

}  // namespace switchyard
