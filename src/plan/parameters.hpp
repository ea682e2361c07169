// The number of parameters of a model, by purpose. Closed formulas that allocate no tensor, so a
// model far too large for this machine is counted at once.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/ownership.hpp"
#include "model/config.hpp"

namespace switchyard {

struct ParameterCount {
  std::int64_t embedding = 0;
  std::int64_t logits = 0;        // 0 if tied to the embedding
  std::int64_t attention = 0;     // kernels and relative position tables
  std::int64_t feed_forward = 0;  // of dense layers
  std::int64_t routers = 0;
  std::int64_t experts = 0;
  std::int64_t norms = 0;
  // In each sparse layer, those of experts that can compute one token.
  std::int64_t active_experts = 0;

  std::int64_t dense() const {
    return embedding + logits + attention + feed_forward + routers + norms;
  }
  std::int64_t total() const { return dense() + experts; }
  std::int64_t active() const { return dense() + active_experts; }
};

ParameterCount count_parameters(const ModelConfig& config);

int block_count(const ModelConfig& config, bool decoder);

// attention_elements: the four kernels of one attention. mlp_elements: the two or three kernels of
// a dense feed-forward layer or of one expert.
std::int64_t attention_elements(const ModelConfig& config);
std::int64_t mlp_elements(const ModelConfig& config);
// The router of one sparse layer: its kernel and its bias, where it has them.
std::int64_t router_elements(const ModelConfig& config, bool decoder);

// The shapes of the dense tensors, in the model's order.
std::vector<TensorShape> dense_shapes(const ModelConfig& config);

}  // namespace switchyard
