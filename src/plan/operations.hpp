// Floating-point operations of one training step by the usual formula: 6 x parameters x positions
// for each matrix product (2 forward, 4 backward), 12 x queries x keys x heads x d_kv for each
// attention, causal or not; with a window 12 x the pairs that see each other x heads x d_kv. The
// yardstick that throughput and utilisation are quoted against, so it counts what the model needs,
// not what the program happens to do.
#pragma once

#include <cstdint>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

struct Operations {
  std::int64_t attention_kernels = 0;  // the projections q, k, v, o
  std::int64_t attention_scores = 0;   // queries x keys, weights x values
  std::int64_t feed_forward = 0;       // of dense layers
  std::int64_t experts = 0;  // all that tokens choose, as far as there are places; all slots
  std::int64_t mixing = 0;   // SOFT: of tokens into slots, and back
  std::int64_t logits = 0;
  // Computed, but outside the total by custom: the routers' products, and what backward computes a
  // second time, as train.recompute says.
  std::int64_t routers = 0, recomputed = 0;

  std::int64_t total() const {
    return attention_kernels + attention_scores + feed_forward + experts + mixing + logits;
  }
};

// Of all processes together, over real positions. Padding, lookups, norms, softmax, activations and
// the optimizer are not counted.
Operations count_operations(const ModelConfig& config, const Layout& layout,
                            const StepShape& shape);

}  // namespace switchyard
