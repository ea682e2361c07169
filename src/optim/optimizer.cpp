#include "optim/optimizer.hpp"

namespace switchyard {
namespace {

struct Maker {
  std::span<const Param> params;
  UpdateShare* share;

  auto operator()(const AdafactorConfig& config) const {
    return make_adafactor(config, params, share);
  }
  auto operator()(const AdamWConfig& config) const { return make_adamw(config, params, share); }
  auto operator()(const SgdConfig& config) const { return make_sgd(config, params, share); }
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          std::span<const Param> params, UpdateShare* share) {
  return std::visit(Maker{params, share}, config);
}

}  // namespace switchyard
