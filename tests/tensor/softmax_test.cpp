#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/invariance.hpp"
#include "support/ops_reference.hpp"
#include "support/random_tensor.hpp"
#include "tensor/ops.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard::softmax_test {
namespace {

using reference::AttentionMask;
using reference::Doubles;

constexpr double tolerance = 1e-5;

const std::vector<AttentionMask> masks = {
    {7, 7, 7, false},   {7, 7, 5, false}, {33, 33, 33, true}, {33, 33, 20, true},
    {5, 40, 33, false}, {1, 1, 1, true},  {40, 5, 3, false}};

class Softmax : public testing::TestWithParam<AttentionMask> {};

TEST_P(Softmax, AndItsGradientsAgreeWithTheReference) {
  const AttentionMask mask = GetParam();
  const std::int64_t distances = mask.n_q + mask.n_k - 1;
  for (const bool biased : {false, true}) {
    const auto scores = random_tensor(mask.n_q, mask.n_k, 1),
               d_weights = random_tensor(mask.n_q, mask.n_k, 2);
    const auto bias = random_tensor(1, distances, 3);
    const Doubles biases = biased ? as_doubles(bias.flat()) : Doubles{};
    const Doubles xs = as_doubles(scores.flat()), ds = as_doubles(d_weights.flat());

    auto weights = copy_of(scores.view());
    const FullScores full{0, mask.valid_keys, mask.causal};
    attention_softmax_forward(weights.view(), full, biased ? bias.data() + mask.n_q - 1 : nullptr,
                              weights.view());
    EXPECT_LT(relative_error(weights.flat(), reference::attention_softmax(xs, biases, mask)),
              tolerance);

    auto d = copy_of(d_weights.view());
    auto d_bias = Tensor<float>::zeros(1, distances);
    attention_softmax_backward(weights.view(), d.view(), full,
                               biased ? d_bias.data() + mask.n_q - 1 : nullptr, d.view());
    const auto expected = reference::central_differences(xs, [&](const Doubles& v) {
      return reference::dot(reference::attention_softmax(v, biases, mask), ds);
    });
    double difference = 0;  // absolute, since a softmax over one key has gradient zero
    for (std::size_t i = 0; i < expected.size(); ++i)
      difference = std::max(difference, std::abs(d.flat()[i] - expected[i]));
    EXPECT_LT(difference, 1e-6);
    if (!biased) continue;
    const auto expected_bias = reference::central_differences(biases, [&](const Doubles& v) {
      return reference::dot(reference::attention_softmax(xs, v, mask), ds);
    });
    for (std::size_t i = 0; i < expected_bias.size(); ++i)
      EXPECT_NEAR(d_bias.flat()[i], expected_bias[i], 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Masks, Softmax, testing::ValuesIn(masks));

struct WindowCase {
  WindowedScores window;
  std::int64_t queries, columns, valid_keys;

  std::int64_t key(std::int64_t column) const {
    return column < window.globals ? column : window.first_key + column - window.globals;
  }
  bool sees(std::int64_t i, std::int64_t column) const {
    if (key(column) >= valid_keys) return false;
    return column < window.globals ||
           std::abs(key(column) - (window.first_query + i)) <= window.reach;
  }
};

// Without global keys, with separate and with adjacent ones, keys past the end of the row, queries
// that see nothing.
const std::vector<WindowCase> windows = {{{20, 0, 17, 3}, 5, 11, 40}, {{20, 2, 17, 3}, 5, 13, 40},
                                         {{4, 2, 2, 3}, 7, 14, 40},   {{20, 2, 17, 3}, 5, 13, 19},
                                         {{20, 0, 17, 3}, 9, 15, 22}, {{20, 3, 17, 3}, 5, 14, 2}};

class WindowSoftmax : public testing::TestWithParam<WindowCase> {};

TEST_P(WindowSoftmax, IsThatOfAFullRowWhoseOtherKeysAreHidden) {
  const WindowCase& c = GetParam();
  constexpr std::int64_t length = 60;
  const auto scores = random_tensor(c.queries, c.columns, 1),
             d_weights = random_tensor(c.queries, c.columns, 2),
             bias = random_tensor(1, 2 * length - 1, 3);
  const auto softmax = [&](const Doubles& xs, const Doubles& biases) {
    Doubles weights(xs.size(), 0.0);
    for (std::int64_t i = 0; i < c.queries; ++i) {
      double sum = 0;
      const auto at = [&](std::int64_t j) { return static_cast<std::size_t>(i * c.columns + j); };
      for (std::int64_t j = 0; j < c.columns; ++j) {
        if (!c.sees(i, j)) continue;
        const std::int64_t distance = c.key(j) - (c.window.first_query + i);
        weights[at(j)] =
            std::exp(xs[at(j)] + biases[static_cast<std::size_t>(distance + length - 1)]);
        sum += weights[at(j)];
      }
      for (std::int64_t j = 0; j < c.columns; ++j) {
        if (c.sees(i, j)) weights[at(j)] /= sum;
      }
    }
    return weights;
  };
  const Doubles xs = as_doubles(scores.flat()), ds = as_doubles(d_weights.flat()),
                biases = as_doubles(bias.flat());
  auto weights = copy_of(scores.view());
  window_softmax_forward(weights.view(), c.window, bias.data() + length - 1, c.valid_keys,
                         weights.view());
  EXPECT_LT(relative_error(weights.flat(), softmax(xs, biases)), tolerance);

  auto d = copy_of(d_weights.view());
  auto d_bias = Tensor<float>::zeros(1, 2 * length - 1);
  window_softmax_backward(weights.view(), d.view(), c.window, d_bias.data() + length - 1,
                          c.valid_keys, d.view());
  for (std::int64_t i = 0; i < c.queries; ++i) {
    for (std::int64_t j = 0; j < c.columns; ++j) {
      if (c.sees(i, j)) continue;
      EXPECT_EQ(weights.view()(i, j), 0.0f);
      EXPECT_EQ(d.view()(i, j), 0.0f);
    }
  }
  const auto expected = reference::central_differences(
      xs, [&](const Doubles& v) { return reference::dot(softmax(v, biases), ds); });
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(d.flat()[i], expected[i], 1e-6);
  const auto expected_bias = reference::central_differences(
      biases, [&](const Doubles& v) { return reference::dot(softmax(xs, v), ds); });
  for (std::size_t i = 0; i < expected_bias.size(); ++i)
    EXPECT_NEAR(d_bias.flat()[i], expected_bias[i], 2e-6);
}

INSTANTIATE_TEST_SUITE_P(Windows, WindowSoftmax, testing::ValuesIn(windows));

TEST(Softmax, HiddenKeysGetExactlyNothing) {
  auto weights = random_tensor(6, 6, 1);
  attention_softmax_forward(weights.view(), {0, 4, true}, nullptr, weights.view());
  auto d = random_tensor(6, 6, 2);
  attention_softmax_backward(weights.view(), d.view(), {0, 4, true}, nullptr, d.view());
  const AttentionMask mask{6, 6, 4, true};
  for (std::int64_t i = 0; i < 6; ++i) {
    for (std::int64_t j = 0; j < 6; ++j) {
      if (mask.allows(i, j)) continue;
      EXPECT_EQ(weights.view()(i, j), 0.0f);
      EXPECT_EQ(d.view()(i, j), 0.0f);
    }
  }
}

TEST(Softmax, ARowWithoutKeysIsAllZero) {
  auto weights = random_tensor(3, 9, 1);
  attention_softmax_forward(weights.view(), {0, 0, false}, nullptr, weights.view());
  EXPECT_EQ(as_doubles(weights.flat()), Doubles(27, 0.0));
  auto d = random_tensor(3, 9, 2);
  attention_softmax_backward(weights.view(), d.view(), {0, 0, false}, nullptr, d.view());
  EXPECT_EQ(as_doubles(d.flat()), Doubles(27, 0.0));
}

TEST(Softmax, SurvivesLargeScores) {
  std::vector<float> row = {1e4f, 1e4f, -1e4f};
  const View<float> scores(row.data(), 1, 3);
  attention_softmax_forward(scores, {0, 3, false}, nullptr, scores);
  EXPECT_EQ(row, (std::vector<float>{0.5f, 0.5f, 0.0f}));
}

TEST(Softmax, RowsHaveTheirBitsInWhateverBlocksTheyCome) {
  const auto scores = random_tensor(150, 150, 1), d_weights = random_tensor(150, 150, 2),
             bias = random_tensor(1, 299, 3);
  const auto in_blocks_of = [&](std::int64_t rows) {
    auto weights = copy_of(scores.view()), d = copy_of(d_weights.view());
    auto d_bias = Tensor<float>::zeros(1, 299);
    for (std::int64_t first = 0; first < 150; first += rows) {
      const std::int64_t count = std::min(rows, 150 - first);
      const FullScores full{first, 133, true};
      attention_softmax_forward(weights.row_range(first, count), full, bias.data() + 149,
                                weights.row_range(first, count));
      attention_softmax_backward(weights.row_range(first, count), d.row_range(first, count), full,
                                 d_bias.data() + 149, d.row_range(first, count));
    }
    auto bits = bits_of(d.flat());
    for (const std::uint32_t b : bits_of(d_bias.flat())) bits.push_back(b);
    return bits;
  };
  EXPECT_EQ(in_blocks_of(150), in_blocks_of(64));
  EXPECT_EQ(in_blocks_of(150), in_blocks_of(1));
}

// The bits that wider vectors of another CPU must also give.
TEST(Softmax, HasTheBitsOfPlainLoops) {
  constexpr std::int64_t n = 77;
  auto scores = random_tensor(1, n, 1), d = random_tensor(1, n, 2);
  auto e = copy_of(scores.view());
  const float max = *std::max_element(e.data(), e.data() + n);
  for (float& x : e.flat()) x = fast_exp(x - max);
  const float factor = 1.0f / lane_sum(n, [&](std::int64_t j) { return e.data()[j]; });
  attention_softmax_forward(scores.view(), {0, n, false}, nullptr, scores.view());
  for (float& x : e.flat()) x *= factor;
  EXPECT_EQ(bits_of(scores.flat()), bits_of(e.flat()));

  const float mean = lane_sum(n, [&](std::int64_t j) { return e.data()[j] * d.data()[j]; });
  for (std::int64_t j = 0; j < n; ++j) e.data()[j] *= d.data()[j] - mean;
  attention_softmax_backward(scores.view(), d.view(), {0, n, false}, nullptr, d.view());
  EXPECT_EQ(bits_of(d.flat()), bits_of(e.flat()));
}

}  // namespace
}  // namespace switchyard::softmax_test
