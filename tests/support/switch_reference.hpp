// One Switch layer as plain scalar f64 loops, forward and backward, written from the mathematics:
// the reference for src/moe. It shares no arithmetic with src/ and has no notion of processes.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard::reference {

// All V groups of N tokens each; matrices are row-major. Optional inputs that are empty are unused.
struct SwitchProblem {
  std::int64_t V = 1, N = 0, D = 0, F = 0, E = 0;
  std::int64_t capacity = 0;
  bool gated = false;                // gelu_tanh(x W_i) * (x W_i1), else relu(x W_i)
  double aux_coef = 0, z_coef = 0;   // weights of the mean over groups, and of the mean over tokens
  std::vector<std::uint8_t> real;    // [V*N]
  std::vector<double> x, dy;         // [V*N, D]
  std::vector<double> router;        // [D, E]
  std::vector<double> wi, wi_1, wo;  // [E, D, F], [E, D, F], [E, F, D]
  std::vector<double> jitter;        // [V*N, D] optional: factors of the router's input
  std::vector<double> hidden_mask;   // [V*N, F] optional: factors of the hidden units
};

struct SwitchResult {
  std::vector<std::int64_t> expert, slot;  // [V*N]; -1 for padding
  std::vector<double> gate;                // [V*N]
  std::vector<double> y;                   // [V*N, D]
  double aux = 0, z = 0;                   // unscaled means
  double loss = 0;                         // <dy, y> + aux_coef aux + z_coef z
  std::int64_t dropped = 0;
  std::vector<double> dx, d_router, d_wi, d_wi_1, d_wo;
};

SwitchResult switch_layer(const SwitchProblem& problem);

}  // namespace switchyard::reference
