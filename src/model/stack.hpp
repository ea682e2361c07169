// The encoder or the decoder: blocks that share one relative position bias, then the final norm and
// dropout. It knows neither embedding nor logits. In is the type of matrix-product inputs, float or
// bfloat16.
#pragma once

#include <string>
#include <vector>

#include "base/buffer.hpp"
#include "model/block.hpp"
#include "model/config.hpp"
#include "model/parameters.hpp"
#include "model/transformer.hpp"

namespace switchyard {

template <class In>
struct StackSaved {
  Buffer<BlockSaved<In>> blocks;
  Tensor<float> h;            // [h*N, D] before the final norm
  Tensor<float> inverse_rms;  // [1, h*N]
};

class Stack {
 public:
  // `params`: where this process's tensors are in its ParamSet. `owned`: the experts that it holds.
  Stack(const ModelConfig& config, bool decoder, const ParamIndex& params,
        Interval<ExpertId> owned);

  const Dropout& embedding_dropout() const { return embedding_dropout_; }

  // h: embedded ids [h*N, D] -> [h*N, D]. memory: null in the encoder. In evaluation `saved` stays
  // empty. Appends one entry to `stats` for each sparse block. Collective over context.comm.
  template <class In>
  Tensor<float> forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                        const EncoderOutput<In>* memory, Tensor<float> h, StackSaved<In>& saved,
                        Buffer<SparseLayerStats>& stats) const;
  // dy: d loss / d output [h*N, D] -> d loss / d embedded ids. Frees each block's saved state once
  // it is used. d_memory [h*b*S, D] is added to, from the last block to the first. Collective over
  // context.comm.
  template <class In>
  Tensor<float> backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                         const EncoderOutput<In>* memory, StackSaved<In> saved, Tensor<float> dy,
                         View<float> d_memory) const;

 private:
  bool decoder_;
  bool recompute_blocks_;  // backward recomputes each block's saved state from its input
  RelativeBias bias_;
  // The first parameter of each block, and of what backward completes with it, as the model has
  // them: once the backward pass of the block is done, all from there on have their gradients.
  std::vector<std::size_t> first_params_;
  std::vector<Block> blocks_;
  std::vector<std::string> names_;  // names of the blocks
  Norm norm_;
  Dropout embedding_dropout_, final_dropout_;
};

}  // namespace switchyard
