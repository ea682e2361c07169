#include "moe/selection.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>

#include "base/buffer.hpp"
#include "tensor/rows.hpp"
#include "tensor/vector_math.hpp"

namespace switchyard {
namespace {

// The expert with the highest score in scores [E] that is not among the token's earlier choices.
// Ties go to the lowest expert, and so does a token whose scores are all NaN.
std::int32_t best_but(const float* scores, std::int64_t E, const Selection& selection,
                      std::int64_t choice, std::int64_t t) {
  const auto taken = [&](std::int64_t e) {
    for (std::int64_t j = 0; j < choice; ++j)
      if (selection.expert[j * selection.tokens + t] == e) return true;
    return false;
  };
  std::int64_t best = -1;
  for (std::int64_t e = 0; e < E; ++e)
    if ((best < 0 || scores[e] > scores[best]) && !taken(e)) best = e;
  return static_cast<std::int32_t>(best);
}

// The sum by which token t's gates are divided, added up in choice order.
float normalizer(const ChoiceRule& rule, const Selection& selection, const float* p,
                 std::int64_t t) {
  float sum = 0;
  for (std::int64_t j = 0; j < selection.choices; ++j)
    sum += p[selection.expert[j * selection.tokens + t]];
  return sum + rule.normalizer_term;
}

// Fills in expert and gate of every choice, before capacity is applied.
Selection rank_experts(const ChoiceRule& rule, const Probabilities& probabilities,
                       View<const float> scores) {
  const View<const float> p = probabilities.p.view();
  const std::int64_t N = p.rows, E = p.cols, k = rule.choices;
  assert(k >= 1 && k <= E);
  Selection selection = Selection::of_nothing(k, N);
  for_each_shared(N, N * E * k, [&](std::int64_t t) {
    if (probabilities.top[t] < 0) return;
    for (std::int64_t j = 0; j < k; ++j)
      selection.expert[j * N + t] = best_but(scores.row(t), E, selection, j, t);
    const float divisor = rule.normalize ? normalizer(rule, selection, p.row(t), t) : 1.0f;
    for (std::int64_t j = 0; j < k; ++j) {
      const float gate = p.row(t)[selection.expert[j * N + t]];
      selection.weight[j * N + t] = rule.normalize ? gate / divisor : gate;
      selection.fate[j * N + t] = Fate::dropped;  // until it gets a place
    }
  });
  return selection;
}

float draw(const TokenDraws& draws, std::int64_t t, std::int64_t element) {
  return unit_float(draws.stream.block(draws.token_index[t], element / 4)[element % 4]);
}

bool takes_second(const ChoiceRule& rule, float gate, std::int64_t t) {
  switch (*rule.second) {
    case SecondPolicy::all:
      return true;
    case SecondPolicy::none:
      return false;
    case SecondPolicy::random:
      if (rule.second_draws) return draw(*rule.second_draws, t, 0) < gate / rule.second_threshold;
      break;  // evaluation draws no random numbers: use the threshold
    case SecondPolicy::threshold:
      break;
  }
  return gate > rule.second_threshold;
}

void decline_seconds(const ChoiceRule& rule, Selection& selection) {
  const std::int64_t N = selection.tokens;
  for (std::int64_t t = 0; t < N; ++t) {
    Fate& fate = selection.fate[N + t];
    if (fate != Fate::none && !takes_second(rule, selection.weight[N + t], t))
      fate = Fate::declined;
  }
}

// The tokens in the order in which their j-th choices are served.
Buffer<std::int64_t> queue(const ChoiceRule& rule, const Selection& selection, std::int64_t j) {
  const std::int64_t N = selection.tokens;
  Buffer<std::int64_t> order(N);
  std::iota(order.begin(), order.end(), 0);
  // Ties are broken in token order. std::stable_sort would do so too, but it allocates on the heap.
  const auto sort_by = [&](auto before) {
    std::ranges::sort(order, [&](std::int64_t a, std::int64_t b) {
      return before(a, b) || (!before(b, a) && a < b);
    });
  };
  if (rule.drop == DropPolicy::probs) {
    // Bit patterns of non-negative floats are ordered like their values, and this ordering also
    // covers NaN.
    const auto rank = [&](std::int64_t t) {
      return std::bit_cast<std::uint32_t>(selection.weight[j * N + t]);
    };
    sort_by([&](std::int64_t a, std::int64_t b) { return rank(a) > rank(b); });
  } else if (rule.drop == DropPolicy::random && rule.drop_draws) {
    Buffer<float> ticket(N);
    for (std::int64_t t = 0; t < N; ++t) ticket[t] = draw(*rule.drop_draws, t, j);
    sort_by([&](std::int64_t a, std::int64_t b) { return ticket[a] < ticket[b]; });
  }
  return order;
}

// Keeps choices that are marked `dropped` while their expert has places left.
void give_places(const ChoiceRule& rule, std::int64_t E, Selection& selection) {
  const std::int64_t N = selection.tokens;
  Buffer<std::int64_t> taken(E, 0);
  Buffer<std::uint8_t> placed(N, 0);
  for (std::int64_t j = 0; j < selection.choices; ++j) {
    for (const std::int64_t t : queue(rule, selection, j)) {
      Fate& fate = selection.fate[j * N + t];
      if (fate != Fate::dropped) continue;
      if (rule.until_placed && placed[t]) {
        fate = Fate::declined;
        continue;
      }
      std::int64_t& places = taken[selection.expert[j * N + t]];
      if (places == rule.capacity) continue;
      ++places;
      fate = Fate::kept;
      placed[t] = 1;
    }
  }
}

}  // namespace

Selection Selection::of_nothing(std::int64_t choices, std::int64_t tokens) {
  const auto size = static_cast<std::size_t>(choices * tokens);
  return {choices, tokens, Buffer<std::int32_t>(size, -1), Buffer<float>(size, 0.0f),
          Buffer<Fate>(size, Fate::none)};
}

Selection choose_experts(const ChoiceRule& rule, const Probabilities& probabilities,
                         View<const float> scores) {
  Selection selection = rank_experts(rule, probabilities, scores);
  if (rule.second && rule.choices > 1) decline_seconds(rule, selection);
  give_places(rule, scores.cols, selection);
  return selection;
}

void choose_experts_backward(const ChoiceRule& rule, const Selection& selection,
                             const Probabilities& probabilities, std::span<const float> d_weight,
                             View<float> d_p) {
  const View<const float> p = probabilities.p.view();
  const std::int64_t N = selection.tokens, k = selection.choices;
  for_each_shared(N, N * k, [&](std::int64_t t) {
    if (probabilities.top[t] < 0) return;
    // mean: d_weight averaged over the gates, the part of it that the normalisation cancels.
    float divisor = 1, mean = 0;
    if (rule.normalize) {
      divisor = normalizer(rule, selection, p.row(t), t);
      for (std::int64_t j = 0; j < k; ++j)
        mean += selection.weight[j * N + t] * d_weight[j * N + t];
    }
    for (std::int64_t j = 0; j < k; ++j) {
      const float d = d_weight[j * N + t];
      d_p.row(t)[selection.expert[j * N + t]] += rule.normalize ? (d - mean) / divisor : d;
    }
  });
}

Selection serve_given(const ChoiceRule& rule, Buffer<std::int32_t> expert) {
  Selection selection = Selection::of_nothing(1, std::ssize(expert));
  std::int32_t highest = -1;
  for (std::size_t t = 0; t < expert.size(); ++t) {
    if (expert[t] < 0) continue;
    selection.weight[t] = 1;
    selection.fate[t] = Fate::dropped;
    highest = std::max(highest, expert[t]);
  }
  selection.expert = std::move(expert);
  give_places(rule, highest + 1, selection);
  return selection;
}

Tensor<float> biased_scores(const Probabilities& probabilities, std::span<const float> bias) {
  const View<const float> p = probabilities.p.view();
  assert(std::ssize(bias) == p.cols);
  auto scores = Tensor<float>::uninitialized(p.rows, p.cols);
  for_each_shared(p.rows, p.size(), [&](std::int64_t t) {
    for (std::int64_t e = 0; e < p.cols; ++e) scores.view().row(t)[e] = p.row(t)[e] + bias[e];
  });
  return scores;
}

Tensor<float> round_robin_scores(const Tensor<float>& p) {
  const std::int64_t E = p.cols();
  auto scores = Tensor<float>::uninitialized(p.rows(), E);
  for_each_shared(p.rows(), p.size(), [&](std::int64_t t) {
    for (std::int64_t e = 0; e < E; ++e) scores.view().row(t)[(t + e) % E] = static_cast<float>(-e);
  });
  return scores;
}

Tensor<float> sampled_scores(View<const float> logits, float temperature, const TokenDraws& draws) {
  constexpr double least = 1e-9;  // lower bound of the reference implementation's draws
  auto scores = Tensor<float>::uninitialized(logits.rows, logits.cols);
  for_each_shared(logits.rows, 64 * logits.size(), [&](std::int64_t t) {
    for (std::int64_t e = 0; e < logits.cols; ++e) {
      const double u = std::max<double>(draw(draws, t, e), least);
      const auto gumbel = static_cast<float>(-fast_log(-fast_log(u)));
      scores.view().row(t)[e] = logits.row(t)[e] + temperature * gumbel;
    }
  });
  return scores;
}

}  // namespace switchyard
