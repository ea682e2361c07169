#include "model/residual.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "gradient_check.hpp"

namespace switchyard::residual_test {
namespace {

using namespace test;

constexpr std::int64_t D = 5, ranks = 2;

// A residual connection around the layer y = x^2, element by element.
void check(float rate) {
  OneProcess process(ranks);
  const Sequence sequence = make_sequence(ranks, 1, 3, {3, 2});
  const Dropout dropout{rate, Purpose::attention_output_dropout, 1};
  const float epsilon = 1e-3f;
  ParamSet params = make_params({{"scale", 1, random_values(D, 1)}}, ranks);
  const std::vector<Values> inputs = {to_values(params[0].value),
                                      random_values(sequence.positions() * D, 2)};
  const Values factors =
      dropout_factors(process.context, rate, dropout.stream(process.context), sequence, D);
  const auto reference = [&](const std::vector<Values>& in) {
    Values y = in[1];
    for (std::size_t i = 0; i < y.size(); ++i) {
      double squares = 0;
      for (std::size_t j = i / D * D; j < i / D * D + D; ++j) squares += in[1][j] * in[1][j];
      const double x = in[1][i] / std::sqrt(squares / D + epsilon) * in[0][i % D];
      y[i] += factors[i] * x * x;
    }
    return y;
  };

  const Residual residual({0, epsilon}, dropout, Phase::attention);
  ResidualSaved saved;
  const Tensor<float> y = residual.forward(process.context, params, sequence,
                                           to_tensor(inputs[1], sequence.positions()), saved,
                                           [](View<const float> x, View<float> out) {
                                             for (std::int64_t i = 0; i < x.size(); ++i)
                                               out.data[i] = x.data[i] * x.data[i];
                                           });
  expect_close(to_values(y.view()), reference(inputs), "y");

  const Values dy = random_values(sequence.positions() * D, 5);
  Tensor<float> dh = to_tensor(dy, sequence.positions());
  residual.backward(process.context, params, sequence, saved, dh.view(),
                    [&](View<const float> d, View<float> dx) {
                      for (std::int64_t i = 0; i < d.size(); ++i) {
                        dx.data[i] = 2 * saved.x.data()[i] * d.data[i];
                      }
                    });
  expect_leaves_close(params, ranks, dy, reference, inputs);
  const auto loss = [&](const std::vector<Values>& in) { return dot(dy, reference(in)); };
  expect_close(to_values(dh.view()), numeric_gradient(loss, inputs, 1), "dh");
}

TEST(Residual, GradientsMatchCentralDifferences) { check(0); }
TEST(Residual, GradientsMatchWithDropout) { check(0.3f); }

}  // namespace
}  // namespace switchyard::residual_test
