#include "statistics/routing_figures.hpp"

#include <algorithm>
#include <cassert>
#include <functional>
#include <numeric>

#include "base/buffer.hpp"

namespace switchyard {
namespace {

// sum / count; 0 where count is 0, since then nothing was counted.
double ratio(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

// The largest number of tokens of any expert over the mean; 1 where there are no tokens.
double imbalance(const Buffer<std::int64_t>& tokens_per_expert) {
  const auto total =
      std::accumulate(tokens_per_expert.begin(), tokens_per_expert.end(), std::int64_t{0});
  if (total == 0) return 1;
  const std::int64_t most = *std::max_element(tokens_per_expert.begin(), tokens_per_expert.end());
  return static_cast<double>(most) * static_cast<double>(tokens_per_expert.size()) /
         static_cast<double>(total);
}

}  // namespace

double LayerStatistics::balance_loss() const { return ratio(balance_sum, groups); }
double LayerStatistics::z_loss() const { return ratio(z_sum, real_tokens); }

void LayerStatistics::add(const LayerStatistics& other) {
  assert(name == other.name && tokens_per_expert.size() == other.tokens_per_expert.size());
  groups += other.groups;
  real_tokens += other.real_tokens;
  wanted += other.wanted;
  dropped += other.dropped;
  computed += other.computed;
  places += other.places;
  std::ranges::transform(tokens_per_expert, other.tokens_per_expert, tokens_per_expert.begin(),
                         std::plus());
  balance_sum += other.balance_sum;
  z_sum += other.z_sum;
  confidence_sum += other.confidence_sum;
  entropy_sum += other.entropy_sum;
}

RoutingFigures routing_figures(std::span<const LayerStatistics> layers) {
  assert(!layers.empty());
  RoutingFigures figures;
  std::int64_t real_tokens = 0, wanted = 0, dropped = 0, computed = 0, places = 0;
  double imbalances = 0, confidences = 0, entropies = 0;
  for (const LayerStatistics& layer : layers) {
    real_tokens += layer.real_tokens;
    wanted += layer.wanted;
    dropped += layer.dropped;
    computed += layer.computed;
    places += layer.places;
    figures.dead_experts += std::ranges::count(layer.tokens_per_expert, 0);
    imbalances += imbalance(layer.tokens_per_expert);
    confidences += layer.confidence_sum;
    entropies += layer.entropy_sum;
  }
  figures.dropped_fraction = ratio(static_cast<double>(dropped), wanted);
  figures.expert_usage = ratio(static_cast<double>(computed), places);
  figures.load_imbalance = imbalances / static_cast<double>(layers.size());
  figures.router_confidence = ratio(confidences, real_tokens);
  figures.router_entropy = ratio(entropies, real_tokens);
  return figures;
}

}  // namespace switchyard
