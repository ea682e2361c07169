// Multi-head attention as in T5: no biases, no scaling of the scores (the initial W_q includes it),
// dropout on the attention weights. Works on the rows of all hosted virtual ranks; it knows neither
// norm nor residual. In is the type of matrix-product inputs, float or bfloat16. Scores and their
// softmax are computed in f32; the attention weights are stored as In.
#pragma once

#include <cstdint>
#include <optional>

#include "model/dropout.hpp"
#include "model/relative_bias.hpp"
#include "model/sequence.hpp"
#include "model/window_tiles.hpp"
#include "step/step_context.hpp"
#include "tensor/param.hpp"

namespace switchyard {

struct AttentionConfig {
  std::int64_t heads = 0, d_kv = 0;  // H, K
  bool causal = false;               // each query sees keys up to its own position
  bool relative_bias = false;        // self-attention only
  Dropout weights_dropout;
  std::size_t q = 0, k = 0, v = 0,
              o = 0;         // kernels [D, H*K], o [H*K, D], in the process's ParamSet
  bool keep_weights = true;  // for backward, which otherwise recomputes them
  // For bidirectional self-attention; none: every key is visible.
  std::optional<AttentionWindow> window{};
};

// n queries and m keys per row; in self-attention both are the same positions.
template <class In = float>
struct AttentionInput {
  const Sequence& queries;
  View<const In> x;  // [h*b*n, D]
  const Sequence& keys;
  View<const In> source;  // [h*b*m, D]
};

template <class In = float>
struct AttentionSaved {
  Tensor<In> q;        // [h*b*n, H*K]
  Tensor<In> k, v;     // [h*b*m, H*K]
  Tensor<In> weights;  // [h*b*H, n*m], with a window [h*b*H, WindowTiles::elements()]: after the
                       // softmax, before dropout; or empty
  Tensor<In> context;  // [h*b*n, H*K]
};

struct AttentionGradients {
  View<const float> dy;  // [h*b*n, D]
  View<float> dx;        // [h*b*n, D], written
  View<float> d_source;  // [h*b*m, D], added to after dx is written; equals dx in self-attention
};

class Attention {
 public:
  explicit Attention(const AttentionConfig& config) : config_(config) {}

  // y [h*b*n, D] is written. bias: for rows of n positions; null without relative_bias.
  template <class In>
  AttentionSaved<In> forward(StepContext& context, const ParamSet& params,
                             const AttentionInput<In>& input, const PositionBias* bias,
                             View<float> y) const;

  // Adds to the kernels' gradient leaves. bias: as in forward. Returns the gradient of the bias,
  // [h*b*H, 2n-1] by distance (distance d is in column d + n-1); empty without relative_bias.
  template <class In>
  Tensor<float> backward(StepContext& context, ParamSet& params, const AttentionInput<In>& input,
                         const AttentionSaved<In>& saved, const PositionBias* bias,
                         const AttentionGradients& gradients) const;

 private:
  AttentionConfig config_;
};

}  // namespace switchyard
