#include "model/embedding.hpp"

#include <gtest/gtest.h>

#include "gradient_check.hpp"

namespace switchyard::embedding_test {
namespace {

using namespace test;

constexpr std::int64_t W = 6, D = 5, ranks = 2;

TEST(Embedding, GradientsMatchCentralDifferencesWithDropout) {
  OneProcess process(ranks);
  Sequence sequence = make_sequence(ranks, 1, 4, {4, 4});
  const Buffer<std::int32_t> ids = {3, 1, 3, 0, 5, 5, 5, 2};  // gradients of repeated ids are added
  sequence.ids = ids;
  const Dropout dropout{0.3f, Purpose::embedding_dropout, 2};
  ParamSet params = make_params({{"table", W, random_values(W * D, 1)}}, ranks);
  const std::vector<Values> inputs = {to_values(params[0].value)};
  const Values factors =
      dropout_factors(process.context, dropout.rate, dropout.stream(process.context), sequence, D);
  const auto lookup = [&](const std::vector<Values>& in) {
    Values y(ids.size() * D);
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = in[0][static_cast<std::size_t>(ids[i / D]) * D + i % D] * factors[i];
    }
    return y;
  };
  const Embedding embedding(0);
  const Tensor<float> y = embedding.forward(process.context, params, sequence, dropout);
  expect_close(to_values(y.view()), lookup(inputs), "y");

  const Values dy = random_values(sequence.positions() * D, 5);
  Tensor<float> dh = to_tensor(dy, sequence.positions());
  embedding.backward(process.context, params, sequence, dropout, dh.view());
  expect_leaves_close(params, ranks, dy, lookup, inputs);
}

}  // namespace
}  // namespace switchyard::embedding_test
