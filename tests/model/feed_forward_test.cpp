#include "model/feed_forward.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "gradient_check.hpp"

namespace switchyard::feed_forward_test {
namespace {

using namespace test;

constexpr std::int64_t D = 5, F = 7, ranks = 2, rows = 1, length = 4;

double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

// inputs: wi, wo, x, or wi_0, wi_1, wo, x.
Values reference(bool gated, const Values& factors, const std::vector<Values>& in) {
  const Values& x = in.back();
  Values hidden = product(x, in[0], D);
  const Values linear = gated ? product(x, in[1], D) : Values{};
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    const double active = gated ? gelu_tanh(hidden[i]) * linear[i] : std::max(hidden[i], 0.0);
    hidden[i] = active * factors[i];
  }
  return product(hidden, in[gated ? 2 : 1], F);
}

void check(Activation activation, float rate) {
  const bool gated = activation == Activation::gated_gelu;
  OneProcess process(ranks);
  const Sequence sequence = make_sequence(ranks, rows, length, {4, 2});
  const Dropout dropout{rate, Purpose::hidden_dropout, 3};
  std::vector<NamedValues> tensors = {{"wi", D, random_values(D * F, 1)}};
  if (gated) tensors.push_back({"wi_1", D, random_values(D * F, 2)});
  tensors.push_back({"wo", F, random_values(D * F, 3)});
  ParamSet params = make_params(tensors, ranks);
  std::vector<Values> inputs;
  for (const NamedValues& t : tensors) inputs.push_back(t.values);
  inputs.push_back(random_values(sequence.positions() * D, 4));
  const Values factors =
      dropout_factors(process.context, rate, dropout.stream(process.context), sequence, F);
  const auto layer = [&](const std::vector<Values>& in) { return reference(gated, factors, in); };

  const FeedForward feed_forward(
      DenseFeedForward(activation, dropout, {0, 1, params.params().size() - 1}));
  const Tensor<float> x = to_tensor(inputs.back(), sequence.positions());
  Tensor<float> y = Tensor<float>::uninitialized(sequence.positions(), D);
  const auto saved = feed_forward.forward(process.context, params, sequence, x.view(), y.view());
  expect_close(to_values(y.view()), layer(inputs), "y");

  const Values dy = random_values(sequence.positions() * D, 5);
  const Tensor<float> d_out = to_tensor(dy, sequence.positions());
  Tensor<float> dx = Tensor<float>::uninitialized(sequence.positions(), D);
  feed_forward.backward(process.context, params, sequence, saved, x.view(), d_out.view(),
                        dx.view());
  expect_leaves_close(params, ranks, dy, layer, inputs);
  const auto loss = [&](const std::vector<Values>& in) { return dot(dy, layer(in)); };
  expect_close(to_values(dx.view()), numeric_gradient(loss, inputs, inputs.size() - 1), "dx");
}

TEST(DenseFeedForward, ReluGradientsMatchCentralDifferences) { check(Activation::relu, 0); }
TEST(DenseFeedForward, ReluGradientsMatchWithDropout) { check(Activation::relu, 0.4f); }
TEST(DenseFeedForward, GatedGeluGradientsMatchCentralDifferences) {
  check(Activation::gated_gelu, 0);
}
TEST(DenseFeedForward, GatedGeluGradientsMatchWithDropout) { check(Activation::gated_gelu, 0.4f); }

}  // namespace
}  // namespace switchyard::feed_forward_test
