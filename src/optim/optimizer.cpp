#include "optim/optimizer.hpp"

namespace switchyard {
namespace {

struct Maker {
  std::span<const Param> params;

  auto operator()(const AdafactorConfig& config) const { return make_adafactor(config, params); }
  auto operator()(const AdamWConfig& config) const { return make_adamw(config, params); }
  auto operator()(const SgdConfig& config) const { return make_sgd(config, params); }
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          std::span<const Param> params) {
  return std::visit(Maker{params}, config);
}

}  // namespace switchyard
