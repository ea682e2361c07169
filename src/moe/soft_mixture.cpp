// Two matrix products per row in forward, four in backward.
#include "moe/soft_mixture.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/buffer.hpp"
#include "moe/capacity.hpp"
#include "moe/token_softmax.hpp"
#include "tensor/ops.hpp"
#include "tensor/rows.hpp"

namespace switchyard {
namespace {

// Far below any logit, and finite: a slot with this logit has weight 0 in every token's mean.
constexpr float never = -1e30f;

// Calls f(first token, tokens, first slot, slots) for each row of the batch.
template <class F>
void for_each_batch_row(const SoftMixture& mixture, F f) {
  const std::int64_t n = mixture.row_length(), P = mixture.row_slots();
  for (std::int64_t row = 0; row < mixture.rows(); ++row) f(row * n, n, row * P, P);
}

void hide_unused(const SoftRule& rule, std::span<const std::int64_t> used, View<float> logits) {
  for_each_shared(logits.rows, logits.size(), [&](std::int64_t t) {
    const std::int64_t slots = used[t / rule.row_length];
    for (std::int64_t e = 0; e < rule.experts; ++e) {
      float* const of_expert = logits.row(t) + e * rule.slots;
      std::fill(of_expert + slots, of_expert + rule.slots, never);
    }
  });
}

}  // namespace

SoftMixture soft_mixture(const SoftRule& rule, Tensor<float> logits,
                         std::span<const std::uint8_t> real, Precision precision) {
  const std::int64_t N = logits.rows(), n = rule.row_length;
  assert(n > 0 && N % n == 0 && logits.cols() == rule.experts * rule.slots);
  Buffer<std::int64_t> used;
  for (std::int64_t first = 0; first < N; first += n) {
    const std::int64_t tokens = std::count(&real[first], &real[first] + n, 1);
    used.push_back(std::min(rule.slots, soft_slots(tokens, rule.capacity_factor, rule.experts)));
  }
  hide_unused(rule, used, logits.view());
  Tensor<float> dispatch = token_softmax(std::as_const(logits).view(), real, n, precision);
  return {std::move(dispatch), expert_softmax(std::move(logits), real, precision), std::move(used),
          rule.experts};
}

Buffer<std::int32_t> SoftMixture::best_expert() const {
  Buffer<std::int32_t> best = combine.top;
  const auto slots = static_cast<std::int32_t>(row_slots() / experts);
  for (std::int32_t& slot : best)
    if (slot >= 0) slot /= slots;
  return best;
}

Selection slots_to_experts(const SoftMixture& mixture) {
  const std::int64_t P = mixture.row_slots(), slots = P / mixture.experts;
  Selection selection = Selection::of_nothing(1, mixture.rows() * P);
  for (std::int64_t i = 0; i < selection.tokens; ++i) {
    if (i % slots >= mixture.used[i / P]) continue;
    selection.expert[i] = static_cast<std::int32_t>(i % P / slots);
    selection.weight[i] = 1;
    selection.fate[i] = Fate::kept;
  }
  return selection;
}

void mix_tokens(Work& work, const SoftMixture& mixture, View<const float> x, View<float> slots) {
  for_each_batch_row(
      mixture, [&](std::int64_t token, std::int64_t n, std::int64_t slot, std::int64_t P) {
        gemm<float, float>(work, mixture.dispatch.row_range(token, n), Transpose::yes,
                           x.row_range(token, n), Transpose::no, slots.row_range(slot, P));
      });
}

void mix_answers(Work& work, const SoftMixture& mixture, View<const float> answers, View<float> y) {
  for_each_batch_row(
      mixture, [&](std::int64_t token, std::int64_t n, std::int64_t slot, std::int64_t P) {
        gemm<float, float>(work, mixture.combine.p.row_range(token, n), Transpose::no,
                           answers.row_range(slot, P), Transpose::no, y.row_range(token, n));
      });
}

void mix_answers_backward(Work& work, const SoftMixture& mixture, View<const float> dy,
                          View<float> d_answers) {
  for_each_batch_row(
      mixture, [&](std::int64_t token, std::int64_t n, std::int64_t slot, std::int64_t P) {
        gemm<float, float>(work, mixture.combine.p.row_range(token, n), Transpose::yes,
                           dy.row_range(token, n), Transpose::no, d_answers.row_range(slot, P));
      });
}

Tensor<float> mix_tokens_backward(Work& work, const SoftMixture& mixture, const MixtureFlow& flow,
                                  float d_z_sum, View<float> dx) {
  const View<const float> dispatch = mixture.dispatch.view();
  auto d_dispatch = Tensor<float>::uninitialized(dispatch.rows, dispatch.cols);
  ProbabilityGradients d{Tensor<float>::uninitialized(dispatch.rows, dispatch.cols), {}, d_z_sum};
  for_each_batch_row(mixture, [&](std::int64_t token, std::int64_t n, std::int64_t slot,
                                  std::int64_t P) {
    const View<const float> d_slots = flow.d_slots.row_range(slot, P);
    gemm<float, float>(work, dispatch.row_range(token, n), Transpose::no, d_slots, Transpose::no,
                       dx.row_range(token, n));
    gemm<float, float>(work, flow.x.row_range(token, n), Transpose::no, d_slots, Transpose::yes,
                       d_dispatch.row_range(token, n));
    gemm<float, float>(work, flow.dy.row_range(token, n), Transpose::no,
                       flow.answers.row_range(slot, P), Transpose::yes, d.p.row_range(token, n));
  });
  Tensor<float> d_logits = expert_softmax_backward(mixture.combine, std::move(d));
  const Tensor<float> by_tokens =
      token_softmax_backward(dispatch, std::move(d_dispatch), mixture.row_length());
  add(by_tokens.view(), d_logits.view());
  return d_logits;
}

}  // namespace switchyard
