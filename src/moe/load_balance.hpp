// The load-balancing loss of one routing group whose tokens choose experts (Fedus et al. 2021,
// equations 4-6): E sum_e f_e P_e, with f the shares of the choices that fell on each expert and P
// the mean probabilities. f is a constant in backward.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.hpp"
#include "moe/probabilities.hpp"

namespace switchyard {

struct LoadBalance {
  Buffer<std::int64_t> chosen;     // [E] choices that fell on it, before capacity
  std::int64_t choices = 0;        // their sum
  Buffer<double> probability_sum;  // [E] over real tokens
  std::int64_t real_tokens = 0;

  double loss() const;  // 0 without real tokens, 1 at perfect balance
  // [E] scale * d loss / d p_e of each real token.
  Buffer<float> gradient(double scale) const;
};

// Without `chosen` and `choices`, which the selection knows.
LoadBalance mean_probabilities(const Probabilities& probabilities);

}  // namespace switchyard
