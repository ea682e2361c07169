// The loss of each row of logits, forward and backward. Each row is computed independently, as in
// tensor/ops.hpp.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/tensor.hpp"

namespace switchyard {

// Cross-entropy in nats of each row's target; 0 where target < 0. logits [N, W]; loss [N] and log_z
// [N], the logsumexp of the logits, are written. argmax: null, or [N], the index of the largest
// logit (ties: lowest).
void cross_entropy_forward(View<const float> logits, std::span<const std::int32_t> targets,
                           std::span<float> loss, std::span<float> log_z, std::int32_t* argmax);

// Terms that training may add to a target's cross-entropy.
struct ExtraLoss {
  float label_smoothing = 0;  // s: the target's distribution is (1 - s) onehot + s / W
  float z_loss = 0;           // weight of log_z^2
  bool any() const { return label_smoothing != 0 || z_loss != 0; }
};
// added [N]: s (target's logit - mean logit) + z_loss log_z^2 of each row; 0 where target < 0.
void extra_loss_forward(View<const float> logits, std::span<const std::int32_t> targets,
                        std::span<const float> log_z, ExtraLoss extra, std::span<float> added);
// Writes d [N, W] = d (scale * (cross-entropy + extra)) / d logits = scale * ((1 + 2 z_loss log_z)
// softmax - (1 - s) onehot - s / W); 0 where target < 0. d may be the memory of the logits.
// logits' place.
template <class T>
void cross_entropy_backward(View<float> logits, std::span<const std::int32_t> targets,
                            std::span<const float> log_z, float scale, ExtraLoss extra, View<T> d);

}  // namespace switchyard
