#include "plan/routing_skew.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace switchyard {
namespace {

// With quantiles q in (0, 1), I q^(I-1) has the mean 1 and the largest value I.
std::vector<double> loads(std::int64_t experts, double imbalance) {
  std::vector<double> load;
  double sum = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    const double quantile = (static_cast<double>(e) + 0.5) / static_cast<double>(experts);
    load.push_back(imbalance * std::pow(quantile, imbalance - 1));
    sum += load.back();
  }
  for (double& x : load) x *= static_cast<double>(experts) / sum;
  return load;
}

}  // namespace

double busiest_owner(std::int64_t experts, std::int64_t owners, double imbalance, double most) {
  if (imbalance <= 1 || experts <= 1) return 1;
  constexpr int orders = 8;
  std::vector<double> load = loads(experts, imbalance);
  for (double& x : load) x = std::min(x, most);
  std::mt19937_64 random(1);  // the same orders every time
  const std::int64_t parts = std::min(owners, experts);
  const auto fair = static_cast<double>((experts + parts - 1) / parts);
  double sum = 0;
  for (int order = 0; order < orders; ++order) {
    for (std::size_t i = load.size() - 1; i > 0; --i)
      std::swap(load[i], load[static_cast<std::size_t>(random() % (i + 1))]);
    double busiest = 0;
    for (std::int64_t p = 0; p < parts; ++p) {
      double rows = 0;
      for (std::int64_t e = p * experts / parts; e < (p + 1) * experts / parts; ++e)
        rows += load[static_cast<std::size_t>(e)];
      busiest = std::max(busiest, rows / fair);
    }
    sum += busiest;
  }
  return std::max(sum / orders, 1.0);
}

}  // namespace switchyard
