// The median, which summarises figures that vary from step to step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace switchyard {

// For an even number of values, the mean of the middle two; nullopt for none.
inline std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const auto upper = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, upper);
  if (values.size() % 2 == 1) return *upper;
  return (*std::max_element(values.begin(), upper) + *upper) / 2;
}

}  // namespace switchyard
