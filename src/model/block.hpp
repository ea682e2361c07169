// One block of a stack: self-attention, cross-attention (decoder only) and a feed-forward layer,
// each with a residual connection. In is the type of matrix-product inputs, float or bfloat16.
#pragma once

#include <optional>

#include "model/attention.hpp"
#include "model/feed_forward.hpp"
#include "model/residual.hpp"

namespace switchyard {

// The encoder's output as input of cross-attention.
template <class In>
struct EncoderOutput {
  const Sequence& sequence;
  View<const In> output;  // [h*b*S, D]
};

template <class In>
struct BlockSaved {
  ResidualSaved<In> self_residual, cross_residual, feed_forward_residual;
  AttentionSaved<In> self_attention, cross_attention;  // cross: decoder only
  FeedForwardSaved<In> feed_forward;

  // Frees everything that Block::repeat can recompute.
  void keep_input_and_decisions() {
    BlockSaved kept;
    kept.self_residual.h = std::move(self_residual.h);
    switchyard::keep_decisions(feed_forward);
    kept.feed_forward = std::move(feed_forward);
    *this = std::move(kept);
  }
};

class Block {
 public:
  struct Attend {
    Residual residual;
    Attention layer;
  };
  struct Feed {
    Residual residual;
    FeedForward layer;
  };
  Block(Attend self_attention, std::optional<Attend> cross_attention, Feed feed_forward)
      : self_(std::move(self_attention)),
        cross_(std::move(cross_attention)),
        feed_(std::move(feed_forward)) {}

  bool is_sparse() const { return feed_.layer.is_sparse(); }

  // h [h*N, D] -> [h*N, D]. memory: null in the encoder. Collective over context.comm if the block
  // is sparse.
  template <class In>
  Tensor<float> forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                        const PositionBias& bias, const EncoderOutput<In>* memory, Tensor<float> h,
                        BlockSaved<In>& saved) const;

  // Recomputes all of `saved` from the block's input and, in a sparse layer, the saved routing
  // decisions. Collective over context.comm if the block is sparse.
  template <class In>
  void repeat(StepContext& context, const ParamSet& params, const Sequence& sequence,
              const PositionBias& bias, const EncoderOutput<In>* memory,
              BlockSaved<In>& saved) const;

  // What backward reads and writes besides the gradient of the residual stream.
  template <class In>
  struct Backward {
    const Sequence& sequence;
    const RelativeBias& relative;
    const PositionBias& bias;  // as in forward
    const EncoderOutput<In>* memory;
    View<float> d_memory;  // [h*b*S, D], added to
  };
  // dh [h*N, D]: on entry the gradient of the output, on return that of the input. Collective over
  // context.comm if the block is sparse.
  template <class In>
  void backward(StepContext& context, ParamSet& params, const Backward<In>& around,
                const BlockSaved<In>& saved, View<float> dh) const;

 private:
  // Runs self- and cross-attention: from the block's input to the input of the feed-forward layer.
  template <class In>
  Tensor<float> attend(StepContext& context, const ParamSet& params, const Sequence& sequence,
                       const PositionBias& bias, const EncoderOutput<In>* memory, Tensor<float> h,
                       BlockSaved<In>& saved) const;

  Attend self_;
  std::optional<Attend> cross_;
  Feed feed_;
};

}  // namespace switchyard
