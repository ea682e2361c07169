// The router of one group of tokens (one virtual rank): probabilities, the chosen expert and its
// gate, the load-balancing loss (Fedus et al. 2021, equations 4-6) and the router z-loss (Zoph et
// al. 2022), in f32 whatever the precision around it unless told otherwise; and the backward of all
// of it. No communication. Capacity is not its business.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bfloat16.hpp"
#include "base/philox.hpp"
#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// What one group's routing was like; sums, so that groups can be added in canonical order.
struct RoutingStats {
  std::int64_t real_tokens = 0;
  std::int64_t dropped_tokens = 0;              // wanted an expert that was full; set by the plan
  std::int64_t capacity = 0;                    // C of this group; set by the plan
  std::vector<std::int64_t> tokens_per_expert;  // [E] wanted it, before capacity
  double balance_loss = 0;                      // E sum_e f_e P_e over real tokens; 0 without any
  double z_sum = 0;                             // sum over real tokens of logsumexp^2
  double confidence_sum = 0;                    // sum over real tokens of the gate
  double entropy_sum = 0;                       // sum over real tokens of -sum p log p
};

struct Routing {
  Tensor<float> probabilities;       // [N, E]; rows of padding are zero
  Tensor<float> log_normalizer;      // [1, N] logsumexp of the logits
  std::vector<std::int32_t> expert;  // [N] argmax of the row, the lowest on ties; -1 for padding; a
                                     // row with a NaN chooses expert 0
  std::vector<float> gate;           // [N] its probability; 0 for padding
  RoutingStats stats;
};

// Input jitter: x is multiplied element-wise by uniform [1-eps, 1+eps) for the router only.
struct Jitter {
  float eps = 0;  // 0: none, and the rest is not looked at
  RandomStream stream;
  std::span<const std::uint64_t> token_index;  // [N]
};

// The same for `route` and `route_backward`: nothing of it is changed by either.
struct RouterInput {
  View<const float> x;                 // [N, D]
  View<const float> weights;           // [D, E]
  std::span<const std::uint8_t> real;  // [N]
  Jitter jitter;
  // bfloat16 rounds x, weights, logits and probabilities on the way, and in backward d loss / d
  // logits; a rounding has the gradient of the identity.
  Precision precision = Precision::float32;
};

Routing route(Work& work, const RouterInput& input);

// Weights of the losses as the whole run's objective has them, for one group.
struct RouterLossScale {
  float balance = 0;  // d loss / d balance_loss of this group: coefficient / number of groups
  float z = 0;        // d loss / d z_sum: coefficient / real tokens of the step in this stack
};
struct RouterGradients {
  View<float> weights;  // [D, E], added to
  View<float> x;        // [N, D], added to
};

// d_gate [N]: d loss / d gate of kept tokens, 0 for the dropped (and for padding). The chosen
// expert, f and the capacity are constants; every probability of a real token gets the
// load-balancing gradient, dropped or not.
void route_backward(Work& work, const RouterInput& input, const Routing& routing,
                    std::span<const float> d_gate, RouterLossScale scale,
                    const RouterGradients& gradients);

}  // namespace switchyard
