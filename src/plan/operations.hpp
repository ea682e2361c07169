// Floating-point operations of one training step by the usual formula: 6 x parameters x positions
// for each matrix product (2 forward, 4 backward) and 12 x queries x keys x heads x d_kv for each
// attention, causal or not; with a window, 12 x visible pairs x heads x d_kv. Throughput and
// utilisation are quoted relative to this number, so it counts what the model requires, not what
// the program happens to compute.
#pragma once

#include <cstdint>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

struct Operations {
  std::int64_t attention_kernels = 0;  // the projections q, k, v, o
  std::int64_t attention_scores = 0;   // queries x keys, weights x values
  std::int64_t feed_forward = 0;       // of dense layers
  std::int64_t experts = 0;            // all choices within capacity; SOFT: all slots
  std::int64_t mixing = 0;             // SOFT: tokens into slots, and back
  std::int64_t logits = 0;
  // Computed, but by convention not part of the total: the routers' products, and what backward
  // recomputes according to train.recompute.
  std::int64_t routers = 0, recomputed = 0;

  std::int64_t total() const {
    return attention_kernels + attention_scores + feed_forward + experts + mixing + logits;
  }
};

// Counts all processes together, over real positions. Padding, lookups, norms, softmax, activation
// functions and the optimizer are not counted.
Operations count_operations(const ModelConfig& config, const Layout& layout,
                            const StepShape& shape);

}  // namespace switchyard
