// The median, by which figures that vary from step to step are told.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace switchyard {

// Of an even number of values, the mean of the middle two; of none, nothing.
inline std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  const auto upper = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, upper);
  if (values.size() % 2 == 1) return *upper;
  return (*std::max_element(values.begin(), upper) + *upper) / 2;
}

}  // namespace switchyard
