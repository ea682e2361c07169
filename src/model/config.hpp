// The model's shape, as plain values; the configuration file's messages are translated once, in
// train/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "model/window_tiles.hpp"
#include "moe/capacity.hpp"
#include "moe/mlp.hpp"
#include "moe/moe_config.hpp"
#include "tensor/cross_entropy.hpp"
#include "tensor/ops.hpp"

namespace switchyard {

// What backward recomputes instead of keeping it: nothing, the attention weights, or everything in
// a block except its input and the routing of its tokens. The choice changes no bit of the result,
// since random numbers are pure functions of what they are used for.
enum class Recompute { none, attention, block };

// Which of every `step` blocks is sparse; the two differ for steps above 2.
enum class SparsePlace { last, second };

struct ModelConfig {
  std::int64_t vocab_size = 0;    // W: rows of the embedding, including padding rows
  std::int64_t d_model = 0;       // D
  std::int64_t d_ff = 0;          // F, of dense layers and of experts
  std::int64_t d_kv = 0;          // K
  std::int64_t num_heads = 0;     // H
  std::int64_t input_length = 0;  // S: positions per encoder row
  int num_layers = 0;             // encoder blocks
  int num_decoder_layers = 0;
  int encoder_sparse_step = 2;  // one of this many blocks is sparse; 1: all; 0: none
  int decoder_sparse_step = 2;
  SparsePlace sparse_place = SparsePlace::last;
  Activation activation = Activation::relu;
  bool tie_word_embeddings = true;
  // None: each encoder position sees its whole row.
  std::optional<AttentionWindow> encoder_window{};
  float dropout_rate = 0;
  float layer_norm_epsilon = 1e-6f;
  float initializer_scale =
      0.1f;  // variance scale of feed-forward, expert, router and untied logits kernels
  // BFLOAT16 is the paper's selective precision (Fedus et al. 2021, section 2.4): the inputs of
  // matrix products (activations and weights, attention included) and the rows sent between
  // processes are bfloat16. Master weights, residual stream, router, norms, softmax, losses and
  // gradients stay f32.
  Precision precision = Precision::float32;
  Recompute recompute = Recompute::none;
  MoeConfig moe{};
  ExtraLoss extra_loss{};  // of the output logits, in training

  // Bytes per element of matrix-product inputs and of rows sent between processes.
  std::int64_t input_bytes() const { return precision == Precision::bfloat16 ? 2 : 4; }
  // How many times a kept row is transferred per step: to its expert and back, in forward and in
  // backward, and once more forward where blocks are recomputed.
  std::int64_t transfers() const { return recompute == Recompute::block ? 6 : 4; }

  bool is_sparse(bool decoder, int block) const {
    const int step = decoder ? decoder_sparse_step : encoder_sparse_step;
    if (moe.num_experts == 0 || step == 0) return false;
    const int place = sparse_place == SparsePlace::last ? step - 1 : std::min(1, step - 1);
    return block % step == place;
  }
  int sparse_layers(bool decoder) const {
    int sparse = 0;
    const int blocks = decoder ? num_decoder_layers : num_layers;
    for (int i = 0; i < blocks; ++i) sparse += is_sparse(decoder, i);
    return sparse;
  }
  int sparse_layers() const { return sparse_layers(false) + sparse_layers(true); }

  // SOFT: slots per expert for a full row, the largest number that a row can have.
  std::int64_t soft_slots() const {
    return switchyard::soft_slots(input_length, moe.capacity_factor, moe.num_experts);
  }
  // Columns of the router in each sparse layer of the stack; 0: it has no router.
  std::int64_t router_outputs(bool decoder) const {
    const RoutingMethod method = moe.routing(decoder);
    if (!has_router(method)) return 0;
    return method == RoutingMethod::soft ? moe.num_experts * soft_slots() : moe.num_experts;
  }
  bool has_router_bias(bool decoder) const {
    return moe.load_balancing == LoadBalancing::bias && tokens_choose(moe.routing(decoder));
  }

  // The weight of each sparse layer's load-balancing loss (router z-loss, below) in the total loss.
  double aux_loss_weight() const {
    return moe.load_balancing == LoadBalancing::aux ? of_a_layer(moe.aux_loss_coef) : 0;
  }
  double z_loss_weight() const { return of_a_layer(moe.z_loss_coef); }

 private:
  double of_a_layer(double coefficient) const {
    const int layers = sparse_layers();
    const bool shared = moe.aux_loss_reduction == AuxLossReduction::mean && layers > 0;
    return shared ? coefficient / layers : coefficient;
  }
};

}  // namespace switchyard
