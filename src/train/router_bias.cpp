#include "train/router_bias.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "base/buffer.hpp"

namespace switchyard {

void update_router_biases(std::span<const LayerStatistics> layers, double rate, ParamSet& params) {
  for (const LayerStatistics& layer : layers) {
    const auto is_its_bias = [&](std::string_view name) {
      return name.starts_with(layer.name) &&
             name.substr(layer.name.size()) == ".feed_forward.router_bias";
    };
    const auto bias = std::ranges::find_if(params.params(), is_its_bias, &Param::name);
    if (bias == params.params().end()) continue;
    const Buffer<std::int64_t>& count = layer.tokens_per_expert;
    const auto total = std::accumulate(count.begin(), count.end(), std::int64_t{0});
    const auto experts = std::ssize(count);
    for (std::int64_t e = 0; e < experts; ++e) {
      // E times the number of tokens by which the expert is below the mean.
      const std::int64_t missing = total - experts * count[e];
      bias->value.data[e] += static_cast<float>(rate * ((missing > 0) - (missing < 0)));
    }
    bias->round_values(0, experts);
  }
}

}  // namespace switchyard
