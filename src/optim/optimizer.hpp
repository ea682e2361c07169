// An update rule over the parameters of one process. It sees a std::span<Param> and has no notion
// of models or ranks: every process updates the dense tensors identically, or its share of their
// rows (optim/update_share.hpp); the owner of an expert updates that expert's tensors.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "tensor/named_tensor.hpp"
#include "tensor/param.hpp"

namespace switchyard {

class UpdateShare;

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // `step`: 0, 1, …; `learning_rate`: that of this step. Reads the gradients and updates the
  // values, including their bf16 copy where there is one. With an UpdateShare, only those of its
  // rows, and collective over its processes.
  virtual void update(std::span<Param> params, std::int64_t step, double learning_rate) = 0;
  // The optimizer's state by global name ("<tensor>/adafactor.row"). Loading a checkpoint writes
  // into the returned spans. With an UpdateShare, all dense tensors' state is listed, and `data` is
  // what this process holds of it.
  virtual std::vector<NamedTensor> state() = 0;
};

// Adafactor as T5 uses it (Shazeer and Stern 2018): no momentum, update clipping by the RMS of each
// tensor's update, step size relative to RMS(W). Each expert's tensors are updated separately.
struct AdafactorConfig {
  double decay_exponent = 0.8;
  double clipping_threshold = 1.0;
  double epsilon_1 = 1e-30;
  double epsilon_2 = 1e-3;
  std::int64_t min_dim_size_to_factor = 128;
  bool multiply_by_parameter_scale = true;
};
std::unique_ptr<Optimizer> make_adafactor(const AdafactorConfig& config,
                                          std::span<const Param> params,
                                          UpdateShare* share = nullptr);

// AdamW (Loshchilov and Hutter 2019): bias correction of both moments, and decoupled weight decay
// multiplied by the learning rate. Tensors of one row, the scales of norms, are not decayed.
struct AdamWConfig {
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};
std::unique_ptr<Optimizer> make_adamw(const AdamWConfig& config, std::span<const Param> params,
                                      UpdateShare* share = nullptr);

// Gradient descent; with momentum m, along the sum over i of m^i times the gradient of i steps ago.
struct SgdConfig {
  double momentum = 0;  // 0: no momentum and no state
};
std::unique_ptr<Optimizer> make_sgd(const SgdConfig& config, std::span<const Param> params,
                                    UpdateShare* share = nullptr);

using OptimizerConfig = std::variant<AdafactorConfig, AdamWConfig, SgdConfig>;
// `share`, which must outlive the optimizer and be of the same parameters; null: all rows are
// updated here.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          std::span<const Param> params,
                                          UpdateShare* share = nullptr);

}  // namespace switchyard
