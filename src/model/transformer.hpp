// The T5 encoder-decoder with Switch feed-forward layers, forward and explicit backward, for all
// the virtual ranks one process hosts. Knows no files, no optimizer, no schedule.
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

// Routing of one sparse layer in one step: one entry for each hosted virtual rank.
struct SparseLayerStats {
  std::string_view name;  // "encoder.block.1", as the model has it
  bool decoder = false;
  Buffer<RoutingStats> groups;
  Buffer<std::int32_t> expert{};  // [h*N] wanted, -1 at padding; only in evaluation
};

class Transformer {
 public:
  struct Output {
    Tensor<float> token_loss;          // [h*b, T] cross-entropy in nats; 0 at padding
    Tensor<float> extra_loss;          // [h*b, T] label smoothing and z-loss; empty without
    Buffer<std::int32_t> predictions;  // [h*b, T] argmax of the logits; only in evaluation
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
  // Products of a BFLOAT16 model read a rounded copy of the weights: to be called whenever others
  // than an optimizer have changed the weights since the constructor. Nothing in FLOAT32.
  void round_weights();

  // Collective over context.comm.
  Output forward(StepContext& context, const Batch& batch) const;
  // The same in training, and adds to the gradient leaves of: sum of token and extra losses /
  // batch.target_tokens, plus each sparse layer's load-balancing and z-loss with their weights.
  // Collective over context.comm.
  Output forward_backward(StepContext& context, const Batch& batch);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Every tensor of the whole model, experts included, in order of definition; what a process with
// all of it would hold. `owned`: which experts are listed.
std::vector<ParamSpec> parameter_specs(const ModelConfig& config, Interval<ExpertId> owned);

}  // namespace switchyard
