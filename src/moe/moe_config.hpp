// The options of the mixture of experts as plain values; proto/run.proto documents each under the
// same name.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/bfloat16.hpp"

namespace switchyard {

enum class RoutingMethod { switch_top1, top2, topk, expert_choice, soft, hash, ntlb };
enum class SecondPolicy { random, threshold, all, none };
enum class DropPolicy { position, probs, random };
enum class LoadBalancing { aux, bias, none };
enum class AuxLossScope { group, global };
enum class AuxLossReduction { sum, mean };
enum class Exploration { input_jitter, argmax, sample, input_dropout };

struct MoeConfig {
  int num_experts = 0;  // 0: every feed-forward layer is dense
  double capacity_factor = 1.25;
  double eval_capacity_factor = 2.0;
  int min_capacity = 4;
  bool dropless = false;
  bool eval_dropless = true;
  double aux_loss_coef = 0.01;
  double z_loss_coef = 0.0;
  double jitter_eps = 0.01;
  Precision router_precision = Precision::float32;

  RoutingMethod encoder_routing = RoutingMethod::switch_top1;
  RoutingMethod decoder_routing = RoutingMethod::switch_top1;
  int router_topk = 1;
  bool normalize_gates = false;
  SecondPolicy second_policy = SecondPolicy::random;
  float second_threshold = 0.2f;
  int ntlb_top_k = 4;
  DropPolicy drop_policy = DropPolicy::position;
  LoadBalancing load_balancing = LoadBalancing::aux;
  double bias_update_rate = 1e-3;
  AuxLossScope aux_loss_scope = AuxLossScope::group;
  AuxLossReduction aux_loss_reduction = AuxLossReduction::sum;
  Exploration exploration = Exploration::input_jitter;
  float sample_temperature = 1;
  float router_dropout_rate = 0.1f;
  float expert_dropout_rate = 0;  // on the hidden units of experts
  // A diagnostic that is not an option of runs: where tokens choose, token t of a group goes to
  // expert t mod E regardless of the router. The gates are still the router's.
  bool force_load_balancing = false;

  RoutingMethod routing(bool decoder) const { return decoder ? decoder_routing : encoder_routing; }
};

// Whether the method has a learnt router.
inline bool has_router(RoutingMethod method) { return method != RoutingMethod::hash; }
// Whether the routing of a token depends on all tokens of its row, which a causal decoder must not
// see.
inline bool sees_whole_row(RoutingMethod method) {
  return method == RoutingMethod::expert_choice || method == RoutingMethod::soft;
}
// Whether experts are chosen per token from probabilities, so that a bias can influence the choice.
inline bool tokens_choose(RoutingMethod method) {
  return has_router(method) && !sees_whole_row(method);
}
// The largest number of experts that can compute one token.
inline std::int64_t experts_per_token(const MoeConfig& config, RoutingMethod method) {
  switch (method) {
    case RoutingMethod::top2:
      return config.num_experts < 2 ? config.num_experts : 2;
    case RoutingMethod::topk:
      return config.router_topk;
    case RoutingMethod::expert_choice:
      return config.num_experts;
    default:
      return 1;
  }
}

}  // namespace switchyard
