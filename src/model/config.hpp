// The model's shape, as plain values; the configuration file's messages are translated once, in
// train/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "model/window_tiles.hpp"
#include "moe/switch_layer.hpp"
#include "tensor/ops.hpp"

namespace switchyard {

// What backward computes again instead of keeping it: nothing, attention's weights, or all of a
// block but its input and where its tokens went. No bit depends on it: random numbers are functions
// of what they are for.
enum class Recompute { none, attention, block };

// Which of every `step` blocks is the sparse one: they differ for steps above 2.
enum class SparsePlace { last, second };

struct ModelConfig {
  std::int64_t vocab_size = 0;  // W: rows of the embedding, padding rows included
  std::int64_t d_model = 0;     // D
  std::int64_t d_ff = 0;        // F, of dense layers and experts alike
  std::int64_t d_kv = 0;        // K
  std::int64_t num_heads = 0;   // H
  int num_layers = 0;           // encoder blocks
  int num_decoder_layers = 0;
  int encoder_sparse_step = 2;  // one block of so many is sparse; 1: all; 0: none
  int decoder_sparse_step = 2;
  SparsePlace sparse_place = SparsePlace::last;
  Activation activation = Activation::relu;
  bool tie_word_embeddings = true;
  std::optional<AttentionWindow> encoder_window{};  // none: encoder positions see their whole row
  float dropout_rate = 0;
  float layer_norm_epsilon = 1e-6f;
  float initializer_scale =
      0.1f;  // variance scale of feed-forward, expert, router and untied logits kernels
  // BFLOAT16 is the paper's selective precision (Fedus et al. 2021, section 2.4): what enters
  // products (activations and weights, attention's too) and travels between processes. Master
  // weights, residual stream, router, norms, softmax, losses and gradients stay f32.
  Precision precision = Precision::float32;
  Recompute recompute = Recompute::none;
  MoeConfig moe;
  ExtraLoss extra_loss{};  // of the outputs, in training

  // Of one element of what enters products and travels.
  std::int64_t input_bytes() const { return precision == Precision::bfloat16 ? 2 : 4; }
  // How often a kept row travels in a step: to its expert and back, forward and backward; and
  // forward again where blocks are recomputed.
  std::int64_t transfers() const { return recompute == Recompute::block ? 6 : 4; }

  bool is_sparse(bool decoder, int block) const {
    const int step = decoder ? decoder_sparse_step : encoder_sparse_step;
    if (moe.num_experts == 0 || step == 0) return false;
    const int place = sparse_place == SparsePlace::last ? step - 1 : std::min(1, step - 1);
    return block % step == place;
  }
};

}  // namespace switchyard
