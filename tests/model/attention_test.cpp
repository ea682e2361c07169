#include "model/attention.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "gradient_check.hpp"

namespace switchyard::attention_test {
namespace {

using namespace test;

constexpr std::int64_t D = 6, H = 2, K = 3, ranks = 2, rows = 2;

struct Case {
  bool causal, bias;
  float dropout;
  std::int64_t queries, keys;
  Buffer<std::int32_t> key_lengths;  // [ranks*rows]
  std::optional<AttentionWindow> window{};

  bool sees(std::int64_t i, std::int64_t j) const {
    if (causal) return j <= i;
    if (!window) return true;
    return std::abs(i - j) <= window->reach || i < window->globals || j < window->globals;
  }
};

// Attention in plain f64. inputs: q, k, v, o, (table), then x, then source if it differs from x.
class Reference {
 public:
  Reference(const Case& c, Values factors) : c_(c), factors_(std::move(factors)) {}

  Values operator()(const std::vector<Values>& in) const {
    const std::size_t at = c_.bias ? 5 : 4;
    const Values &x = in[at], &source = in.size() > at + 1 ? in[at + 1] : in[at];
    const Values q = product(x, in[0], D), k = product(source, in[1], D),
                 v = product(source, in[2], D);
    Values context(q.size(), 0);
    for (std::int64_t row = 0; row < ranks * rows; ++row) {
      for (std::int64_t h = 0; h < H; ++h) {
        for (std::int64_t i = 0; i < c_.queries; ++i) {
          attend(row, h, i, q, k, v, c_.bias ? in[4] : Values{}, context);
        }
      }
    }
    return product(context, in[3], H * K);
  }

 private:
  void attend(std::int64_t row, std::int64_t h, std::int64_t i, const Values& q, const Values& k,
              const Values& v, const Values& table, Values& context) const {
    std::vector<std::int64_t> visible;
    for (std::int64_t j = 0; j < c_.key_lengths[static_cast<std::size_t>(row)]; ++j) {
      if (c_.sees(i, j)) visible.push_back(j);
    }
    const auto element = [&](std::int64_t length, std::int64_t position, std::int64_t column) {
      return static_cast<std::size_t>(((row * length + position) * H + h) * K + column);
    };
    Values weights;
    double sum = 0;
    for (const std::int64_t j : visible) {
      double score = 0;
      for (std::int64_t d = 0; d < K; ++d) {
        score += q[element(c_.queries, i, d)] * k[element(c_.keys, j, d)];
      }
      if (c_.bias)
        score += table[static_cast<std::size_t>(h * 32 + relative_bucket(j - i, !c_.causal))];
      weights.push_back(std::exp(score));
      sum += weights.back();
    }
    for (std::size_t at = 0; at < visible.size(); ++at) {
      const std::int64_t j = visible[at];
      const double factor = factors_[static_cast<std::size_t>((row * c_.queries + i) * H * c_.keys +
                                                              h * c_.keys + j)];
      for (std::int64_t d = 0; d < K; ++d) {
        context[element(c_.queries, i, d)] +=
            weights[at] / sum * factor * v[element(c_.keys, j, d)];
      }
    }
  }

  Case c_;
  Values factors_;  // [h*b*n, H*m] dropout factors
};

void check(const Case& c, bool keep_weights = true) {
  const bool cross = !c.bias;
  OneProcess process(ranks);
  const Dropout dropout{c.dropout, Purpose::attention_dropout, 4};
  const Sequence queries =
      make_sequence(ranks, rows, c.queries,
                    cross ? Buffer<std::int32_t>(ranks * rows, static_cast<std::int32_t>(c.queries))
                          : c.key_lengths);
  const Sequence keys = cross ? make_sequence(ranks, rows, c.keys, c.key_lengths) : queries;
  std::vector<NamedValues> tensors = {{"q", D, random_values(D * H * K, 1)},
                                      {"k", D, random_values(D * H * K, 2)},
                                      {"v", D, random_values(D * H * K, 3)},
                                      {"o", H * K, random_values(D * H * K, 4)}};
  if (c.bias) tensors.push_back({"table", H, random_values(H * 32, 5)});
  ParamSet params = make_params(tensors, ranks);
  std::vector<Values> inputs;
  for (const NamedValues& t : tensors) inputs.push_back(t.values);
  inputs.push_back(random_values(queries.positions() * D, 6));
  if (cross) inputs.push_back(random_values(keys.positions() * D, 7));
  const Values dy = random_values(queries.positions() * D, 8);
  const Reference reference(
      c, dropout_factors(process.context, c.dropout, dropout.stream(process.context), queries,
                         H * c.keys));

  const Attention attention({H, K, c.causal, c.bias, dropout, 0, 1, 2, 3, keep_weights, c.window});
  const RelativeBias relative(4, !c.causal);
  const std::size_t at = tensors.size();
  const Tensor<float> x = to_tensor(inputs[at], queries.positions());
  const Tensor<float> source = to_tensor(inputs.back(), keys.positions());
  const AttentionInput input{queries, x.view(), keys, source.view()};
  Tensor<float> y = Tensor<float>::uninitialized(queries.positions(), D);
  PositionBias bias;
  if (c.bias) bias = relative.forward(params, c.queries);
  const AttentionSaved saved =
      attention.forward(process.context, params, input, c.bias ? &bias : nullptr, y.view());
  expect_close(to_values(y.view()), reference(inputs), "y");

  const Tensor<float> d_out = to_tensor(dy, queries.positions());
  Tensor<float> dx = Tensor<float>::uninitialized(queries.positions(), D);
  Tensor<float> d_source = Tensor<float>::zeros(keys.positions(), D);
  const Tensor<float> pieces =
      attention.backward(process.context, params, input, saved, c.bias ? &bias : nullptr,
                         {d_out.view(), dx.view(), cross ? d_source.view() : dx.view()});
  if (c.bias) relative.backward(params, queries, pieces.view());

  expect_leaves_close(params, ranks, dy, reference, inputs);
  const auto loss = [&](const std::vector<Values>& in) { return dot(dy, reference(in)); };
  expect_close(to_values(dx.view()), numeric_gradient(loss, inputs, at), "dx");
  if (cross) {
    expect_close(to_values(d_source.view()), numeric_gradient(loss, inputs, at + 1), "d source");
  }
}

TEST(Attention, EncoderGradientsMatchCentralDifferences) {
  check({false, true, 0.0f, 5, 5, {5, 3, 4, 0}});
}

TEST(Attention, EncoderGradientsMatchWithDropout) {
  check({false, true, 0.3f, 5, 5, {5, 3, 4, 5}});
}

TEST(Attention, CausalGradientsMatchCentralDifferences) {
  check({true, true, 0.0f, 5, 5, {5, 5, 2, 3}});
}

TEST(Attention, CausalGradientsMatchWithDropout) { check({true, true, 0.25f, 4, 4, {4, 4, 2, 3}}); }

TEST(Attention, CrossGradientsMatchCentralDifferences) {
  check({false, false, 0.0f, 3, 5, {5, 2, 0, 4}});
}

TEST(Attention, CrossGradientsMatchWithDropout) { check({false, false, 0.5f, 4, 6, {6, 2, 3, 4}}); }

// Rows of several tiles, some partly padded, so that late queries see no key at all.
TEST(Attention, WindowGradientsMatchCentralDifferences) {
  check({false, true, 0.0f, 37, 37, {37, 20, 3, 33}, AttentionWindow{3, 0}});
}

TEST(Attention, WindowGradientsMatchWithGlobalPositionsAndDropout) {
  check({false, true, 0.3f, 37, 37, {37, 20, 2, 33}, AttentionWindow{2, 3}});
  check({false, true, 0.3f, 37, 37, {37, 20, 2, 33}, AttentionWindow{2, 3}}, false);
}

TEST(Attention, WindowGradientsMatchWithMoreGlobalPositionsThanATileHasQueries) {
  check({false, true, 0.0f, 41, 41, {41, 12, 0, 33}, AttentionWindow{1, 19}});
}

TEST(Attention, EvaluationHasNoDropout) {
  OneProcess process(ranks, Mode::evaluate);
  const Sequence sequence = make_sequence(ranks, rows, 4, {4, 4, 2, 3});
  const ParamSet params = make_params({{"q", D, random_values(D * H * K, 1)},
                                       {"k", D, random_values(D * H * K, 2)},
                                       {"v", D, random_values(D * H * K, 3)},
                                       {"o", H * K, random_values(D * H * K, 4)}},
                                      ranks);
  const Tensor<float> x =
      to_tensor(random_values(sequence.positions() * D, 6), sequence.positions());
  const auto output = [&](float rate) {
    const Attention attention(
        {H, K, false, false, {rate, Purpose::attention_dropout, 0}, 0, 1, 2, 3});
    Tensor<float> y = Tensor<float>::uninitialized(sequence.positions(), D);
    attention.forward(process.context, params,
                      AttentionInput{sequence, x.view(), sequence, x.view()}, nullptr, y.view());
    return to_values(y.view());
  };
  EXPECT_EQ(output(0.5f), output(0.0f));
}

}  // namespace
}  // namespace switchyard::attention_test
