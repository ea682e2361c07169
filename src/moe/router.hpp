// The router of one group of tokens: one matrix product from the tokens' activations to logits, and
// its backward. In f32 regardless of the model's precision, unless told otherwise. It does not know
// what the logits mean or how experts are chosen from them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/bfloat16.hpp"
#include "base/philox.hpp"
#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

// How exploration perturbs the router's copy of x (Fedus et al. 2021, appendix C): each element is
// multiplied by a uniform draw from [1-amount, 1+amount), or dropped with that rate and the rest
// scaled up. Experts see the unperturbed x.
struct Perturbation {
  enum class Kind { jitter, dropout } kind = Kind::jitter;
  float amount = 0;
  RandomStream stream;
  std::span<const std::uint64_t> token_index;  // [N]
};

// Input of both forward and backward; neither changes it. E: the columns of `weights`, which are
// experts or slots of experts.
struct RouterInput {
  View<const float> x;        // [N, D]
  View<const float> weights;  // [D, E]
  std::optional<Perturbation> perturbation;
  // bfloat16: x, weights and logits are rounded, and in backward d loss / d logits. The gradient of
  // a rounding is that of the identity.
  Precision precision = Precision::float32;
};

struct RouterGradients {
  View<float> weights;  // [D, E], added to
  View<float> x;        // [N, D], added to
};

// Returns the logits [N, E] of every row, padding included.
Tensor<float> router_logits(Work& work, const RouterInput& input);
// d_logits [N, E], zero for padding; consumed.
void router_backward(Work& work, const RouterInput& input, Tensor<float> d_logits,
                     const RouterGradients& gradients);

}  // namespace switchyard
