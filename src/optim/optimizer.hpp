// An update rule over a process's parameters. Sees std::span<Param> and nothing of models or ranks:
// dense tensors are updated alike by every process, an expert's by its owner.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tensor/named_tensor.hpp"
#include "tensor/param.hpp"

namespace switchyard {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // step: 0, 1, …; learning_rate of this step. Reads each gradient, changes each value.
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

}  // namespace switchyard
