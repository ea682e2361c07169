#include "moe/router.hpp"

#include <algorithm>
#include <utility>

#include "tensor/ops.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

void copy(View<const float> from, View<float> to) {
  for (std::int64_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.cols, to.row(i));
}

// y = x times random factors. They are not stored, since the stream gives the same ones again. [N,
// D]
void multiply_by_factors(const Perturbation& p, View<const float> x, View<float> y) {
  if (p.kind == Perturbation::Kind::jitter) {
    jitter(x, p.amount, p.stream, p.token_index, y);
  } else {
    copy(x, y);
    apply_dropout(y, p.amount, p.stream, p.token_index);
  }
}

// The backward of multiply_by_factors: y += x times the same factors. Overwrites x. [N, D]
void add_times_factors(const Perturbation& p, View<float> x, View<float> y) {
  if (p.kind == Perturbation::Kind::jitter) {
    add_jittered(x, p.amount, p.stream, p.token_index, y);
  } else {
    apply_dropout(x, p.amount, p.stream, p.token_index);
    add(x, y);
  }
}

// The inputs of the router's matrix product, [N, D] and [D, E]: the caller's matrices, or perturbed
// and rounded copies.
struct Operands {
  Tensor<float> own_x, own_weights;
  View<const float> x, weights;
};

Operands operands(const RouterInput& input) {
  Operands seen{{}, {}, input.x, input.weights};
  const bool perturbs = input.perturbation.has_value();
  const bool rounds = input.precision == Precision::bfloat16;
  if (perturbs || rounds) {
    seen.own_x = Tensor<float>::uninitialized(input.x.rows, input.x.cols);
    seen.x = std::as_const(seen.own_x).view();
  }
  if (perturbs) {
    multiply_by_factors(*input.perturbation, input.x, seen.own_x.view());
  } else if (rounds) {
    copy(input.x, seen.own_x.view());
  }
  if (rounds) {
    seen.own_weights = Tensor<float>::uninitialized(input.weights.rows, input.weights.cols);
    seen.weights = std::as_const(seen.own_weights).view();
    copy(input.weights, seen.own_weights.view());
    round_in_place(seen.own_x.view());
    round_in_place(seen.own_weights.view());
  }
  return seen;
}

}  // namespace

Tensor<float> router_logits(Work& work, const RouterInput& input) {
  const Operands seen = operands(input);
  auto logits = Tensor<float>::uninitialized(input.x.rows, input.weights.cols);
  gemm<float, float>(work, seen.x, Transpose::no, seen.weights, Transpose::no, logits.view());
  if (input.precision == Precision::bfloat16) round_in_place(logits.view());
  return logits;
}

void router_backward(Work& work, const RouterInput& input, Tensor<float> d_logits,
                     const RouterGradients& gradients) {
  if (input.precision == Precision::bfloat16) round_in_place(d_logits.view());
  const View<const float> d = std::as_const(d_logits).view();
  Operands seen = operands(input);
  gemm<float, float>(work, seen.x, Transpose::yes, d, Transpose::no, gradients.weights,
                     Accumulate::yes);
  if (!input.perturbation) {
    gemm<float, float>(work, d, Transpose::no, seen.weights, Transpose::yes, gradients.x,
                       Accumulate::yes);
    return;
  }
  // d loss / d (x U) overwrites x U, which is no longer needed.
  const View<float> d_perturbed = seen.own_x.view();
  gemm<float, float>(work, d, Transpose::no, seen.weights, Transpose::yes, d_perturbed);
  add_times_factors(*input.perturbation, d_perturbed, gradients.x);
}

}  // namespace switchyard
