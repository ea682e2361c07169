// Every routing method of a mixture-of-experts layer in plain scalar f64 arithmetic on a tape,
// written from the mathematics: choices, gates, capacity, losses and, through the tape, all
// gradients. It draws no random numbers (perturbations and random priorities are inputs) and shares
// nothing with src/.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard::reference {

enum class RoutingKind { switch_top1, top2, topk, ntlb, hash, expert_choice, soft };
enum class SecondChoice { all, none, threshold, random };
enum class DropOrder { position, probs, random };
enum class Balance { aux, bias, none };
enum class AuxScope { group, global };
enum class Explore { argmax, sample, input_dropout, input_jitter };

// V virtual ranks of N = rows x length tokens each. A routing group is a virtual rank's N tokens;
// with expert_choice and soft it is one row, whose capacity depends on its real tokens. An empty
// vector stands for an input that the problem does not use, and for a `bias` of zeros.
struct RoutingProblem {
  RoutingKind kind = RoutingKind::switch_top1;
  SecondChoice second_policy = SecondChoice::all;  // top2
  DropOrder drop_policy = DropOrder::position;     // who is dropped when an expert is full
  Balance balance = Balance::aux;                  // bias: chosen by p + b, no balance loss
  AuxScope scope = AuxScope::group;                // global: f is counted over all V
  Explore exploration = Explore::argmax;
  double temperature = 1.0;       // of `sample`
  double second_threshold = 0.2;  // of `threshold` and `random`
  bool normalize_gates = false;   // topk, k > 1
  // Disables random draws: `sample` chooses by argmax, input factors are omitted, second choice
  // `random` becomes `threshold`, drop policy `random` becomes `position`.
  bool evaluation = false;
  std::int64_t k = 1;           // topk
  std::int64_t ntlb_top_k = 4;  // ntlb; never more than E choices
  std::int64_t V = 1, rows = 1, length = 1;
  std::int64_t D = 1, F = 1, E = 1;
  // Rows of a group that an expert takes; unused by expert_choice and soft.
  std::int64_t capacity = 0;
  double capacity_factor = 1.0;   // expert_choice, soft
  std::int64_t min_capacity = 0;  // expert_choice

  std::vector<bool> real;  // [V*N]
  std::vector<double> x;   // [V*N, D]
  std::vector<double> dy;  // [V*N, D] of the loss <dy, y> + aux_coef aux + z_coef z
  double aux_coef = 0, z_coef = 0;
  std::vector<double> router;  // [D, E]; soft: [D, E*S_max], expert e's slot s at e*S_max + s
  std::vector<double> bias;    // [E]
  std::vector<double> wi, wo;  // [E, D, F], [E, F, D]: relu(x wi) wo

  std::vector<double> input_factor;  // [V*N, D] on the router's copy of x
  std::vector<double> gumbel;        // [V*N, E] `sample` chooses by logits + temperature * gumbel
  std::vector<double> second_draw;   // [V*N] in [0, 1)
  std::vector<double> drop_draw;     // [choices(), V*N] smaller first, ties in token order
  std::vector<std::int64_t> hash_expert;  // [V*N]

  std::int64_t group_tokens() const { return rows * length; }           // N
  std::int64_t tokens() const { return V * group_tokens(); }            // V*N
  std::int64_t choices() const;                                         // of a token; soft: 0
  std::int64_t routing_groups() const;                                  // V, or V*rows
  std::int64_t expert_choice_capacity(std::int64_t real_tokens) const;  // C of a row
  std::int64_t soft_slots(std::int64_t real_tokens) const;              // S of a row
  std::int64_t router_columns() const;                                  // E, or E*S_max
};

struct Choice {
  std::int64_t expert = -1;  // the chosen one; -1: no such choice
  double weight = 0;         // the gate, whether kept or not
  bool kept = false;         // found a place
};

struct RoutingResult {
  // [choices(), V*N]: choice c of token t is at c*V*N + t. ntlb lists all its top choices, of which
  // at most one is kept; expert_choice lists what experts took, expert e's choice at e*V*N + t.
  std::vector<Choice> choices;
  // [routing groups, E]: real tokens before capacity, as counted for f: first choices (switch,
  // top2, hash), all choices (topk, ntlb), the capacity used (expert_choice); soft: 0.
  std::vector<std::int64_t> counts;
  std::vector<std::int64_t> dropped_tokens;   // [routing groups] real tokens that no expert kept
  std::vector<std::int64_t> dropped_choices;  // [routing groups] dropped by a full expert
  std::vector<double> dispatch, combine;      // [V*N, E*S_max] for soft, else empty
  std::vector<double> y;                      // [V*N, D]
  double aux = 0;   // mean over all routing groups; one without real tokens counts as 0
  double z = 0;     // mean over the real tokens of all V
  double loss = 0;  // <dy, y> + aux_coef aux + z_coef z
  std::vector<double> dx, d_router, d_wi, d_wo;  // empty unless requested
};

// Throws std::invalid_argument for a combination that is undefined.
RoutingResult run_routing(const RoutingProblem& problem, bool with_gradients);

}  // namespace switchyard::reference
