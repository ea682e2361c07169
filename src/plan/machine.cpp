#include "plan/machine.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace switchyard {
namespace {

// A place on an axis of a grid: between points `low` and `low + 1`, at `share` of the way.
struct Place {
  std::size_t low = 0;
  double share = 0;
  double factor = 1;  // below the smallest size
};

Place find(const std::vector<std::int64_t>& axis, double size) {
  const auto at = [&](std::size_t i) { return static_cast<double>(axis[i]); };
  if (size <= at(0)) return {0, 0, size / at(0)};
  const std::size_t last = axis.size() - 1;
  if (size >= at(last)) return {last, 0, 1};
  std::size_t low = 0;
  while (at(low + 1) <= size) ++low;
  return {low, std::log(size / at(low)) / std::log(at(low + 1) / at(low)), 1};
}

}  // namespace

double ProductTable::rate(double m, double n, double k) const {
  const std::array<Place, 3> place = {find(rows, m), find(outputs, n), find(inputs, k)};
  double logarithm = 0;
  for (unsigned corner = 0; corner < 8; ++corner) {
    double weight = 1;
    std::array<std::size_t, 3> index{};
    for (unsigned axis = 0; axis < 3; ++axis) {
      const bool high = (corner >> axis & 1) != 0;
      weight *= high ? place[axis].share : 1 - place[axis].share;
      index[axis] = place[axis].low + high;
    }
    if (weight == 0) continue;
    logarithm +=
        weight * std::log(rates[(index[0] * outputs.size() + index[1]) * inputs.size() + index[2]]);
  }
  return std::exp(logarithm) * place[0].factor * place[1].factor * place[2].factor;
}

}  // namespace switchyard
