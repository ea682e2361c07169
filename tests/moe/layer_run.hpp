// Runs one Switch layer, forward and backward, on any communicator, from inputs that are the same
// on every process, and gathers what it made on all of them; and states the same problem for the
// f64 reference.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/comm.hpp"
#include "moe/switch_layer.hpp"
#include "support/switch_reference.hpp"

namespace switchyard {

struct LayerCase {
  int V = 4, G = 1, E = 4;
  std::int64_t N = 24, D = 16, F = 32;
  MoeConfig moe;  // num_experts is set from E
  Activation activation = Activation::relu;
  float hidden_dropout = 0;
  Mode mode = Mode::train;
  bool padding = false;             // some tokens of every group, and all of group 1
  bool one_expert_for_all = false;  // the router sends every token to the last expert
};

// The layer's inputs for all virtual ranks.
struct LayerInputs {
  std::vector<float> x, dy;          // [V*N, D]
  std::vector<float> router;         // [D, E]
  std::vector<float> wi, wi_1, wo;   // [E, …]
  std::vector<std::uint8_t> real;    // [V*N]
  std::vector<std::uint64_t> index;  // [V*N]
};

struct LayerOutputs {
  std::vector<float> y, dx;            // [V*N, D]
  std::vector<float> router_leaves;    // [V, D*E]
  std::vector<float> expert_leaves;    // [G, E, wi + wi_1 + wo]
  std::vector<std::int64_t> dropped;   // [V]
  std::vector<double> balance, z_sum;  // [V]
  std::int64_t multiply_adds = 0;      // of this process

  bool operator==(const LayerOutputs&) const = default;
};

inline constexpr std::uint64_t layer_seed = 11, layer_step = 3;
inline constexpr std::uint32_t layer_number = 5;

LayerInputs make_inputs(const LayerCase& c);
// Collective over `comm`.
LayerOutputs run_layer(const Comm& comm, const LayerCase& c, const LayerInputs& inputs);
reference::SwitchProblem reference_problem(const LayerCase& c, const LayerInputs& inputs);

}  // namespace switchyard
