// Selections made by hand, for tests of the stages after the router.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/layout.hpp"
#include "moe/selection.hpp"
#include "moe/uniform.hpp"

namespace switchyard {

// Served in token order; expert -1 is padding.
inline Selection selection_of(const Buffer<std::int32_t>& expert, std::int64_t capacity) {
  ChoiceRule rule;
  rule.capacity = capacity;
  return serve_given(rule, expert);
}

inline std::vector<const Selection*> pointers(const std::vector<Selection>& selections) {
  std::vector<const Selection*> result;
  for (const Selection& selection : selections) result.push_back(&selection);
  return result;
}

// The expert of each token of virtual rank v: skewed towards low numbers, about one in nine is
// padding; the same on every process.
inline Buffer<std::int32_t> random_experts(VirtualRank v, std::int64_t N, std::int64_t E) {
  Buffer<std::int32_t> experts;
  for (const float u : uniform(1000 + v.value, N)) {
    const float skewed = u * u * 1.125f;
    experts.push_back(skewed >= 1 ? -1 : static_cast<std::int32_t>(skewed * static_cast<float>(E)));
  }
  return experts;
}

inline std::vector<Selection> hosted_selections(const Layout& layout, Rank self, std::int64_t N,
                                                std::int64_t capacity) {
  std::vector<Selection> selections;
  for (const VirtualRank v : layout.hosted(self))
    selections.push_back(selection_of(random_experts(v, N, layout.experts()), capacity));
  return selections;
}

}  // namespace switchyard
