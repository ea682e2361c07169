// Soft routing (Puigcerver et al. 2023): every slot of an expert is a weighted mean of a row's
// tokens, and every token receives a weighted mean of the outputs of all slots. A row is a routing
// group. Computes the weights, both mixings and their backward; it does not know where experts are.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "moe/moe_config.hpp"
#include "moe/probabilities.hpp"
#include "moe/router.hpp"
#include "moe/selection.hpp"
#include "tensor/gemm.hpp"
#include "tensor/tensor.hpp"

namespace switchyard {

struct SoftRule {
  std::int64_t row_length = 0;  // N is a multiple of it
  double capacity_factor = 1;
  std::int64_t experts = 0;  // E
  // Slots per expert in the router, which has E * slots columns, expert-major. A short row uses
  // only the first slots of each expert.
  std::int64_t slots = 0;
};

// The weights of one virtual rank: N tokens in b rows. P = E * slots.
struct SoftMixture {
  Tensor<float> dispatch;     // [N, P] each column: a slot's weights over the row's tokens
  Probabilities combine;      // [N, P] each row: a token's weights over the row's slots
  Buffer<std::int64_t> used;  // [b] slots per expert that the row uses
  std::int64_t experts = 0;

  std::int64_t rows() const { return static_cast<std::int64_t>(used.size()); }
  std::int64_t row_length() const { return dispatch.rows() / rows(); }
  std::int64_t row_slots() const { return dispatch.cols(); }  // P
  // [N] the expert of the slot with the largest weight in the token's output; -1 for padding.
  Buffer<std::int32_t> best_expert() const;
};

// logits [N, P] are consumed; real [N].
SoftMixture soft_mixture(const SoftRule& rule, Tensor<float> logits,
                         std::span<const std::uint8_t> real, Precision precision);
// The routing of slots as if they were tokens, [b*P] of them: each used slot goes to its expert, an
// unused one nowhere.
Selection slots_to_experts(const SoftMixture& mixture);

// x [N, D] -> slots [b*P, D], written.
void mix_tokens(Work& work, const SoftMixture& mixture, View<const float> x, View<float> slots);
// answers [b*P, D], the experts' outputs, finite even for unused slots -> y [N, D], written; 0 for
// padding.
void mix_answers(Work& work, const SoftMixture& mixture, View<const float> answers, View<float> y);
// dy [N, D] -> d_answers [b*P, D], written.
void mix_answers_backward(Work& work, const SoftMixture& mixture, View<const float> dy,
                          View<float> d_answers);

struct MixtureFlow {
  View<const float> x, dy;             // [N, D]
  View<const float> answers, d_slots;  // [b*P, D], 0 for unused slots
};
// Writes dx [N, D], the gradient that flows through the slots' values, and returns d loss / d
// logits [N, P]. d_z_sum: d loss / d z_sum of `combine`.
Tensor<float> mix_tokens_backward(Work& work, const SoftMixture& mixture, const MixtureFlow& flow,
                                  float d_z_sum, View<float> dx);

}  // namespace switchyard
