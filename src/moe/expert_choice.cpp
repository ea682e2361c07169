#include "moe/expert_choice.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <utility>

#include "base/buffer.hpp"
#include "moe/token_softmax.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

// The real tokens of one row.
Buffer<std::int64_t> real_tokens(std::span<const std::uint8_t> real, std::int64_t first,
                                 std::int64_t count) {
  Buffer<std::int64_t> tokens;
  for (std::int64_t t = first; t < first + count; ++t)
    if (real[t]) tokens.push_back(t);
  return tokens;
}

std::int64_t row_capacity(const ExpertChoiceRule& rule, std::int64_t n, std::int64_t experts) {
  const double share = static_cast<double>(n) * rule.capacity_factor / static_cast<double>(experts);
  const auto fair = static_cast<std::int64_t>(std::min(static_cast<double>(n), std::floor(share)));
  return std::min(n, std::max(fair, rule.min_capacity));
}

// For each expert, marks the `capacity` tokens with the highest probabilities; ties go to the
// earlier token.
void take_most_probable(View<const float> p, Buffer<std::int64_t> tokens, std::int64_t capacity,
                        Selection& selection) {
  for (std::int64_t e = 0; e < p.cols; ++e) {
    // Bit patterns of non-negative floats are ordered like their values, and this ordering also
    // covers NaN.
    const auto before = [&](std::int64_t a, std::int64_t b) {
      const auto left = std::bit_cast<std::uint32_t>(p.row(a)[e]);
      const auto right = std::bit_cast<std::uint32_t>(p.row(b)[e]);
      return left != right ? left > right : a < b;
    };
    std::nth_element(tokens.begin(), tokens.begin() + capacity, tokens.end(), before);
    for (std::int64_t i = 0; i < capacity; ++i) {
      const std::int64_t at = e * selection.tokens + tokens[i];
      selection.expert[at] = static_cast<std::int32_t>(e);
      selection.fate[at] = Fate::kept;
    }
  }
}

float times_chosen(const Selection& selection, std::int64_t t) {
  std::int64_t count = 0;
  for (std::int64_t j = 0; j < selection.choices; ++j)
    count += selection.fate[j * selection.tokens + t] == Fate::kept;
  return static_cast<float>(std::max<std::int64_t>(count, 1));
}

void weigh(View<const float> p, std::int64_t t, Selection& selection) {
  const float divisor = times_chosen(selection, t);
  for (std::int64_t e = 0; e < selection.choices; ++e) {
    const std::int64_t at = e * selection.tokens + t;
    if (selection.fate[at] == Fate::kept) selection.weight[at] = p.row(t)[e] / divisor;
  }
}

}  // namespace

ChosenTokens choose_tokens(const ExpertChoiceRule& rule, View<const float> logits,
                           std::span<const std::uint8_t> real) {
  const std::int64_t N = logits.rows, E = logits.cols, n = rule.row_length;
  assert(n > 0 && N % n == 0);
  const std::int64_t rows = N / n;
  ExpertChoice result{.p = token_softmax(logits, real, n, rule.precision),
                      .token_mean = Buffer<float>(N, 0.0f),
                      .real = Buffer<std::int64_t>(rows, 0)};
  Selection selection = Selection::of_nothing(E, N);
  const View<const float> p = std::as_const(result.p).view();
  Buffer<double> balance(rows, 0.0);
  for_each_shared(rows, 16 * N * E, [&](std::int64_t row) {
    const Buffer<std::int64_t> tokens = real_tokens(real, row * n, n);
    result.real[row] = std::ssize(tokens);
    take_most_probable(p, tokens, row_capacity(rule, std::ssize(tokens), E), selection);
    for (const std::int64_t t : tokens) {
      weigh(p, t, selection);
      const float* p_t = p.row(t);
      const float mean =
          lane_sum(E, [&](std::int64_t e) { return p_t[e]; }) / static_cast<float>(E);
      result.token_mean[t] = mean;
      balance[row] += static_cast<double>(tokens.size()) * mean * mean;
    }
  });
  for (std::int64_t row = 0; row < rows; ++row) {
    result.balance_sum += balance[row];
    result.places += E * row_capacity(rule, result.real[row], E);
  }
  return {std::move(result), std::move(selection)};
}

Tensor<float> choose_tokens_backward(const ExpertChoiceRule& rule, const ExpertChoice& choice,
                                     const Selection& selection, std::span<const float> d_weight,
                                     float d_balance) {
  const View<const float> p = choice.p.view();
  const std::int64_t N = p.rows, E = p.cols, n = rule.row_length;
  auto d = Tensor<float>::uninitialized(N, E);
  for_each_shared(N, 8 * N * E, [&](std::int64_t t) {
    const float divisor = times_chosen(selection, t);
    const float balance = d_balance * 2 * static_cast<float>(choice.real[t / n]) *
                          choice.token_mean[t] / static_cast<float>(E);
    for (std::int64_t e = 0; e < E; ++e)
      d.view().row(t)[e] = d_weight[e * N + t] / divisor + balance;
  });
  return token_softmax_backward(p, std::move(d), n);
}

}  // namespace switchyard
