// Runs one sparse layer with any routing, forward and backward, on any communicator, from inputs
// that are the same on every process, and gathers the outputs of all processes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/comm.hpp"
#include "moe/soft_layer.hpp"
#include "moe/switch_layer.hpp"
#include "support/switch_reference.hpp"

namespace switchyard {

inline constexpr std::uint64_t layer_seed = 11;

struct LayerCase {
  int V = 4, G = 1, E = 4;
  std::int64_t N = 24, D = 16, F = 32;
  std::int64_t rows = 1;  // per virtual rank, of N / rows tokens each
  RoutingMethod method = RoutingMethod::switch_top1;
  MoeConfig moe;  // num_experts is set from E
  double balance_weight = 0, z_weight = 0;
  Activation activation = Activation::relu;
  Mode mode = Mode::train;
  Precision precision = Precision::float32;  // of rows sent to experts, and of products
  // Pads some tokens of every group, all of group 1, and, if there are several rows, the last row.
  bool padding = false;
  bool one_expert_for_all = false;  // the router sends every token to the last expert
  bool repeats = false;  // forward is recomputed from its routing decisions before backward
  std::uint32_t layer = 5;
  std::int64_t step = 3;
  int micro_steps = 1;
};

// The layer's inputs for all virtual ranks.
struct LayerInputs {
  std::vector<float> x, dy;          // [V*N, D]
  std::vector<float> router;         // [D, E]; soft: [D, P]
  std::vector<float> wi, wi_1, wo;   // [E, …]
  std::vector<std::uint8_t> real;    // [V*N]
  std::vector<std::uint64_t> index;  // [V*N]
  std::vector<std::int32_t> ids;     // [V*N]
  std::vector<float> bias;           // [E]; used with load balancing by bias
};

struct LayerOutputs {
  std::vector<float> y, dx;          // [V*N, D]
  std::vector<float> router_leaves;  // [V, D*E]; empty without a router
  std::vector<float> expert_leaves;  // [G, E, wi + wi_1 + wo]
  std::vector<RoutingStats> stats;   // [V]
  // [V, k, N] of the selections; soft has none
  std::vector<std::int32_t> expert;
  std::vector<Fate> fate;
  std::vector<float> gate;
  std::int64_t sent_rows = 0, received_rows = 0;  // over all processes
  std::int64_t multiply_adds = 0;                 // of this process
};

LayerInputs make_inputs(const LayerCase& c);
// Collective over `comm`. Every process gets the outputs of all.
LayerOutputs run_layer(const Comm& comm, const LayerCase& c, const LayerInputs& inputs,
                       const RowTransport::Options& transport = {});
// The same problem for the reference implementation of a Switch layer.
reference::SwitchProblem reference_problem(const LayerCase& c, const LayerInputs& inputs);

SparseLayerConfig layer_config(const LayerCase& c);
std::int64_t router_columns(const LayerCase& c);
// The expert capacity per group where tokens choose.
std::int64_t group_capacity(const LayerCase& c);

// All fields in one vector.
std::vector<double> numbers(const RoutingStats& stats);
// The name of the first output whose bits differ; "" if there is none.
std::string difference(const LayerOutputs& a, const LayerOutputs& b);
// The sum over `count` leaves in the order of gradient synchronisation.
std::vector<float> sum_of_leaves(const std::vector<float>& leaves, std::int64_t count);

}  // namespace switchyard
