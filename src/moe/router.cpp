#include "moe/router.hpp"

#include <algorithm>
#include <utility>

#include "tensor/ops.hpp"
#include "tensor/rounding.hpp"

namespace switchyard {
namespace {

// Its own backward, whichever it is: a product with factors that the stream gives again.
void perturb(const Perturbation& perturbation, View<float> x) {
  if (perturbation.kind == Perturbation::Kind::jitter) {
    apply_jitter(x, perturbation.amount, perturbation.stream, perturbation.token_index);
  } else {
    apply_dropout(x, perturbation.amount, perturbation.stream, perturbation.token_index);
  }
}

Tensor<float> copy_of(View<const float> from) {
  auto copy = Tensor<float>::uninitialized(from.rows, from.cols);
  for (std::int64_t i = 0; i < from.rows; ++i)
    std::copy_n(from.row(i), from.cols, copy.view().row(i));
  return copy;
}

// What the router multiplies, [N, D] and [D, E]: the caller's, or copies perturbed and rounded.
struct Operands {
  Tensor<float> own_x, own_weights;
  View<const float> x, weights;
};

Operands operands(const RouterInput& input) {
  Operands seen{{}, {}, input.x, input.weights};
  const bool perturbs = input.perturbation.has_value();
  const bool rounds = input.precision == Precision::bfloat16;
  if (perturbs || rounds) {
    seen.own_x = copy_of(input.x);
    seen.x = std::as_const(seen.own_x).view();
  }
  if (perturbs) perturb(*input.perturbation, seen.own_x.view());
  if (rounds) {
    seen.own_weights = copy_of(input.weights);
    seen.weights = std::as_const(seen.own_weights).view();
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
  // d loss / d (x U) takes the place of x U, which is not needed any more.
  const View<float> d_perturbed = seen.own_x.view();
  gemm<float, float>(work, d, Transpose::no, seen.weights, Transpose::yes, d_perturbed);
  perturb(*input.perturbation, d_perturbed);
  add(d_perturbed, gradients.x);
}

}  // namespace switchyard
