// The router of one group of tokens: one product, from what the router sees of them to logits, and
// its backward. In f32 whatever the precision around it unless told otherwise. What logits mean,
// and who is chosen by them, is not its business.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/bfloat16.hpp"
#include "base/philox.hpp"
#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// What exploration does to the router's copy of x (Fedus et al. 2021, appendix C): multiplied
// element-wise by uniform [1-amount, 1+amount), or dropped with that rate and scaled up. Experts
// see x as it is.
struct Perturbation {
  enum class Kind { jitter, dropout } kind = Kind::jitter;
  float amount = 0;
  RandomStream stream;
  std::span<const std::uint64_t> token_index;  // [N]
};

// The same forward and backward: nothing of it is changed by either. E: the columns of `weights`,
// experts or slots of experts.
struct RouterInput {
  View<const float> x;        // [N, D]
  View<const float> weights;  // [D, E]
  std::optional<Perturbation> perturbation;
  // bfloat16 rounds x, weights and logits, and in backward d loss / d logits; a rounding has the
  // gradient of the identity.
  Precision precision = Precision::float32;
};

struct RouterGradients {
  View<float> weights;  // [D, E], added to
  View<float> x;        // [N, D], added to
};

// [N, E], of every row, padding too.
Tensor<float> router_logits(Work& work, const RouterInput& input);
// d_logits [N, E], zero for padding; used up.
void router_backward(Work& work, const RouterInput& input, Tensor<float> d_logits,
                     const RouterGradients& gradients);

}  // namespace switchyard
