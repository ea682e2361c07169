// Routings made by hand, for what comes after the router.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/layout.hpp"
#include "moe/router.hpp"
#include "moe/uniform.hpp"

namespace switchyard {

inline Routing routing_of(std::vector<std::int32_t> expert, std::int64_t E) {
  Routing routing;
  routing.stats.tokens_per_expert.assign(E, 0);
  for (const std::int32_t e : expert) {
    if (e < 0) continue;
    ++routing.stats.tokens_per_expert[e];
    ++routing.stats.real_tokens;
  }
  routing.expert = std::move(expert);
  return routing;
}

// The expert of each token of virtual rank v: skewed towards low numbers, about one in nine
// padding, the same on every process.
inline std::vector<std::int32_t> random_experts(VirtualRank v, std::int64_t N, std::int64_t E) {
  std::vector<std::int32_t> experts;
  for (const float u : uniform(1000 + v.value, N)) {
    const float skewed = u * u * 1.125f;
    experts.push_back(skewed >= 1 ? -1 : static_cast<std::int32_t>(skewed * static_cast<float>(E)));
  }
  return experts;
}

inline std::vector<Routing> hosted_routings(const Layout& layout, Rank self, std::int64_t N) {
  std::vector<Routing> routings;
  for (const VirtualRank v : layout.hosted(self))
    routings.push_back(routing_of(random_experts(v, N, layout.experts()), layout.experts()));
  return routings;
}

}  // namespace switchyard
