#include "config/update_sharing.hpp"

#include <cstdint>
#include <variant>

#include "model/transformer.hpp"

namespace switchyard {
namespace {

// The numbers that the optimizer keeps for each weight. Adafactor's are few: those of a factored
// matrix are sums over its rows and columns.
std::int64_t state_per_weight(const OptimizerConfig& config) {
  if (std::holds_alternative<AdamWConfig>(config)) return 2;
  const auto* const sgd = std::get_if<SgdConfig>(&config);
  return sgd && sgd->momentum > 0 ? 1 : 0;
}

std::int64_t dense_weights(const ModelConfig& model) {
  std::int64_t elements = 0;
  for (const ParamSpec& spec : parameter_specs(model, {ExpertId{0}, ExpertId{0}}))
    elements += spec.rows * spec.cols;
  return elements;
}

}  // namespace

bool shards_optimizer(const Settings& settings, int processes) {
  if (processes == 1 || settings.shard_optimizer == Settings::ShardOptimizer::off) return false;
  if (settings.shard_optimizer == Settings::ShardOptimizer::on) return true;
  constexpr std::int64_t least_state_bytes = 1 << 30;
  return state_per_weight(settings.optimizer) * dense_weights(settings.model) *
             std::int64_t{sizeof(float)} >=
         least_state_bytes;
}

}  // namespace switchyard
