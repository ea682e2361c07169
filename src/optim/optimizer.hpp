// An update rule over a process's parameters. Sees std::span<Param> and nothing of models or ranks:
// dense tensors are updated alike by every process, an expert's by its owner.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "tensor/named_tensor.hpp"
#include "tensor/param.hpp"

namespace switchyard {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // step: 0, 1, …; learning_rate of this step. Reads each gradient, changes each value and its copy
  // in bf16 where there is one.
  virtual void update(std::span<Param> params, std::int64_t step, double learning_rate) = 0;
  // Its state by global name ("<tensor>/adafactor.row"); loading a checkpoint writes into the
  // spans.
  virtual std::vector<NamedTensor> state() = 0;
};

// Adafactor as T5 uses it (Shazeer and Stern 2018): no momentum,
// update clipping by the tensor's own RMS, step relative to RMS(W). Experts are separate tensors.
struct AdafactorConfig {
  double decay_exponent = 0.8;
  double clipping_threshold = 1.0;
  double epsilon_1 = 1e-30;
  double epsilon_2 = 1e-3;
  std::int64_t min_dim_size_to_factor = 128;
  bool multiply_by_parameter_scale = true;
};
std::unique_ptr<Optimizer> make_adafactor(const AdafactorConfig& config,
                                          std::span<const Param> params);

// AdamW (Loshchilov and Hutter 2019): both moments corrected for their start at 0, decay apart from
// the moments and times the learning rate. Tensors of one row, the scales of norms, do not decay.
struct AdamWConfig {
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};
std::unique_ptr<Optimizer> make_adamw(const AdamWConfig& config, std::span<const Param> params);

// Gradient descent; with momentum m, along the sum of m^i times the gradient i steps ago.
struct SgdConfig {
  double momentum = 0;  // 0: none, and no state
};
std::unique_ptr<Optimizer> make_sgd(const SgdConfig& config, std::span<const Param> params);

using OptimizerConfig = std::variant<AdafactorConfig, AdamWConfig, SgdConfig>;
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          std::span<const Param> params);

}  // namespace switchyard
