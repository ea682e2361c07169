// The number of sparse layers of a model, from its options alone.
#pragma once

#include "run.pb.h"

namespace switchyard {

// Blocks with experts in a stack of `blocks` blocks; `step` is the stack's sparse step.
inline int sparse_blocks(const MoeOptions& moe, int step, int blocks) {
  if (step <= 0) return 0;
  const int place = step > 1 && moe.sparse_place() == MoeOptions::SECOND ? 1 : step - 1;
  return blocks / step + (blocks % step > place);
}

struct SparseLayers {
  int encoder = 0, decoder = 0;

  int all() const { return encoder + decoder; }
  int stacks() const { return (encoder > 0) + (decoder > 0); }
};

// `config` must state the number of decoder blocks.
inline SparseLayers sparse_layers_of(const RunConfig& config) {
  const ModelOptions& model = config.model();
  const MoeOptions& moe = config.moe();
  return {sparse_blocks(moe, moe.encoder_sparse_step(), model.num_layers()),
          sparse_blocks(moe, moe.decoder_sparse_step(), model.num_decoder_layers())};
}

}  // namespace switchyard
