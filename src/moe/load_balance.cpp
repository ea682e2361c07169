#include "moe/load_balance.hpp"

#include "base/buffer.hpp"

namespace switchyard {

double LoadBalance::loss() const {
  if (real_tokens == 0 || choices == 0) return 0;
  const auto experts = static_cast<double>(chosen.size());
  double sum = 0;
  for (std::size_t e = 0; e < chosen.size(); ++e)
    sum += experts * (static_cast<double>(chosen[e]) / static_cast<double>(choices)) *
           (probability_sum[e] / static_cast<double>(real_tokens));
  return sum;
}

Buffer<float> LoadBalance::gradient(double scale) const {
  Buffer<float> d(chosen.size(), 0.0f);
  if (real_tokens == 0 || choices == 0) return d;
  const auto experts = static_cast<double>(chosen.size());
  const double divisor = static_cast<double>(choices) * static_cast<double>(real_tokens);
  for (std::size_t e = 0; e < d.size(); ++e)
    d[e] = static_cast<float>(scale * experts * static_cast<double>(chosen[e]) / divisor);
  return d;
}

LoadBalance mean_probabilities(const Probabilities& probabilities) {
  const View<const float> p = probabilities.p.view();
  LoadBalance balance{Buffer<std::int64_t>(p.cols, 0), 0, Buffer<double>(p.cols, 0.0), 0};
  for (std::int64_t t = 0; t < p.rows; ++t) {
    if (probabilities.top[t] < 0) continue;
    ++balance.real_tokens;
    const float* row = p.row(t);
    for (std::int64_t e = 0; e < p.cols; ++e) balance.probability_sum[e] += row[e];
  }
  return balance;
}

}  // namespace switchyard
