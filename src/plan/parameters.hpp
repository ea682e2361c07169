// How many parameters a model has, by what they are for. Closed formulas: no tensor is made, so a
// model far too large for this machine is counted at once.
#pragma once

#include <cstdint>

#include "model/config.hpp"

namespace switchyard {

struct ParameterCount {
  std::int64_t embedding = 0;
  std::int64_t logits = 0;        // 0 where they share the embedding
  std::int64_t attention = 0;     // kernels and relative-position tables
  std::int64_t feed_forward = 0;  // of dense layers
  std::int64_t routers = 0;
  std::int64_t experts = 0;
  std::int64_t norms = 0;
  std::int64_t active_experts = 0;  // of each sparse layer those that a token may meet

  std::int64_t dense() const {
    return embedding + logits + attention + feed_forward + routers + norms;
  }
  std::int64_t total() const { return dense() + experts; }
  std::int64_t active() const { return dense() + active_experts; }
};

ParameterCount count_parameters(const ModelConfig& config);

int block_count(const ModelConfig& config, bool decoder);

// Elements of one attention's four kernels, and of the two or three of a feed-forward layer or
// expert.
std::int64_t attention_elements(const ModelConfig& config);
std::int64_t mlp_elements(const ModelConfig& config);
// Of what chooses in one sparse layer: its kernel and its bias, as far as there are.
std::int64_t router_elements(const ModelConfig& config, bool decoder);

}  // namespace switchyard
