// The T5 encoder-decoder with Switch feed-forward layers, forward and explicit backward, for all
// virtual ranks that one process hosts. It knows no files, no optimizer and no schedule.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/buffer.hpp"
#include "model/batch.hpp"
#include "model/config.hpp"
#include "moe/routing.hpp"
#include "step/step_context.hpp"
#include "tensor/param.hpp"

namespace switchyard {

// The routing of one sparse layer in one step, with one entry per hosted virtual rank.
struct SparseLayerStats {
  std::string_view name;  // "encoder.block.1", as the model has it
  bool decoder = false;
  Buffer<RoutingStats> groups;
  Buffer<std::int32_t> expert{};  // [h*N] first choice, -1 at padding; evaluation only
};

class Transformer {
 public:
  struct Output {
    Tensor<float> token_loss;          // [h*b, T] cross-entropy in nats; 0 at padding
    Tensor<float> extra_loss;          // [h*b, T] label smoothing and z-loss; empty if unused
    Buffer<std::int32_t> predictions;  // [h*b, T] argmax of the logits; evaluation only
    Buffer<SparseLayerStats> sparse_layers;
  };
  enum class Gradients { no, yes };

  // Draws this process's share of the parameters from `seed`. Not collective.
  Transformer(const ModelConfig& config, const Layout& layout, Rank self, std::uint64_t seed,
              Gradients gradients);
  ~Transformer();
  Transformer(Transformer&&) noexcept;

  const ModelConfig& config() const;
  ParamSet& parameters();
  const ParamSet& parameters() const;
  // The products of a BFLOAT16 model read a rounded copy of the weights. Must be called whenever
  // anything but an optimizer has changed the weights since construction. Does nothing in FLOAT32.
  void round_weights();

  // Collective over context.comm.
  Output forward(StepContext& context, const Batch& batch) const;
  // Forward in training mode; adds to the gradient leaves of (sum of token and extra losses) /
  // batch.target_tokens plus each sparse layer's load-balancing loss and router z-loss with their
  // weights. Collective over context.comm.
  Output forward_backward(StepContext& context, const Batch& batch);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Every tensor of the whole model in order of definition, as one process that holds everything
// would have them. `owned`: which experts are listed.
std::vector<ParamSpec> parameter_specs(const ModelConfig& config, Interval<ExpertId> owned);

}  // namespace switchyard
