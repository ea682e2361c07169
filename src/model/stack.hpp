// The encoder or the decoder: blocks around one relative bias, then the final norm and dropout.
// Knows neither embedding nor logits. In is the type that enters products, float or bfloat16.
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
  // `params`: where this process's tensors stand. `owned`: the experts among them.
  Stack(const ModelConfig& config, bool decoder, const ParamIndex& params,
        Interval<ExpertId> owned);

  const Dropout& embedding_dropout() const { return embedding_dropout_; }

  // h: embedded ids [h*N, D] -> [h*N, D]. memory: null in the encoder. In evaluation `saved` stays
  // empty. Appends to `stats` for each sparse block. Collective over context.comm.
  template <class In>
  Tensor<float> forward(StepContext& context, const ParamSet& params, const Sequence& sequence,
                        const EncoderOutput<In>* memory, Tensor<float> h, StackSaved<In>& saved,
                        Buffer<SparseLayerStats>& stats) const;
  // dy: d loss / d output [h*N, D] -> d loss / d embedded ids. Frees each block's saved state as it
  // goes. d_memory [h*b*S, D]: added to, blocks last to first. Collective over context.comm.
  template <class In>
  Tensor<float> backward(StepContext& context, ParamSet& params, const Sequence& sequence,
                         const EncoderOutput<In>* memory, StackSaved<In> saved, Tensor<float> dy,
                         View<float> d_memory) const;

 private:
  bool decoder_;
  bool recompute_blocks_;  // backward makes each block's saved state again from its input
  RelativeBias bias_;
  std::vector<Block> blocks_;
  std::vector<std::string> names_;  // theirs
  Norm norm_;
  Dropout embedding_dropout_, final_dropout_;
};

}  // namespace switchyard
