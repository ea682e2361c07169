// The load-balancing loss of one routing group in which tokens choose experts (Fedus et al. 2021,
// equations 4-6): E sum_e f_e P_e, where f_e is the fraction of choices that fell on expert e and
// P_e its mean probability. f is a constant in backward.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "moe/probabilities.hpp"

namespace switchyard {

struct LoadBalance {
  Buffer<std::int64_t> chosen;     // [E] choices of each expert, before capacity
  std::int64_t choices = 0;        // sum of `chosen`
  Buffer<double> probability_sum;  // [E] sum over real tokens
  std::int64_t real_tokens = 0;

  double loss() const;  // 0 without real tokens, 1 at perfect balance
  // [E] scale * d loss / d p_e, the same for each real token.
  Buffer<float> gradient(double scale) const;
};

// Fills in everything except `chosen` and `choices`, which come from the selection.
LoadBalance mean_probabilities(const Probabilities& probabilities);

}  // namespace switchyard
