// The routings in the order of their definitions: token choice (Switch, top-2, top-k,
// No-Token-Left-Behind, hash), expert choice, soft. Written for clarity, not speed.
#include "support/routing_reference.hpp"

#include <algorithm>
#include <cmath>

#include "support/autodiff.hpp"
#include "support/routing_selection.hpp"

namespace switchyard::reference {
namespace {

class Layer {
 public:
  explicit Layer(const RoutingProblem& problem);
  RoutingResult run(bool with_gradients);

 private:
  using Vars = std::vector<Var>;

  void token_choice();
  void route_token(std::int64_t token);
  Vars gates(std::int64_t token, const std::vector<std::int64_t>& experts);
  void balance_loss();

  void expert_choice(std::int64_t row);
  void soft(std::int64_t row);
  std::vector<std::int64_t> real_tokens_of(std::int64_t row) const;

  Var logit(std::int64_t token, std::int64_t column);
  void add_z(const Vars& logits);
  Vars softmax(const Vars& logits);
  Var log_sum_exp(const Vars& logits);
  Vars expert(std::int64_t e, const Vars& input);
  Vars input_of(std::int64_t token) const;
  void add_output(std::int64_t token, Var weight, const Vars& output);
  Vars inputs(const std::vector<double>& values);
  Choice& choice(std::int64_t c, std::int64_t token) { return r_.choices[at(c * T_ + token)]; }
  std::vector<double> values(const Vars& vars) const;

  const RoutingProblem& q_;
  const std::int64_t T_, K_, E_, D_;  // T_: the tokens of all V; K_: choices of one
  std::int64_t real_tokens_ = 0;      // of all V
  Tape tape_;
  Vars x_, router_, wi_, wo_, y_;
  Vars router_x_;                 // [T_, D] what the router sees
  std::vector<Vars> logits_, p_;  // [T_][E] token choice
  Vars gate_;                     // [K_, T_] token choice
  Vars aux_terms_, z_terms_;      // one per routing group, one per token
  RoutingResult r_;
};

Layer::Layer(const RoutingProblem& problem)
    : q_(problem), T_(problem.tokens()), K_(problem.choices()), E_(problem.E), D_(problem.D) {
  check(q_);
  x_ = inputs(q_.x);
  router_ = inputs(q_.router);
  wi_ = inputs(q_.wi);
  wo_ = inputs(q_.wo);
  y_ = inputs(std::vector<double>(q_.x.size(), 0.0));
  router_x_ = x_;
  const bool perturbed = !q_.evaluation && (q_.exploration == Explore::input_dropout ||
                                            q_.exploration == Explore::input_jitter);
  if (perturbed) {
    for (std::size_t i = 0; i < x_.size(); ++i) {
      router_x_[i] = tape_.scale(x_[i], q_.input_factor.at(i));
    }
  }
  real_tokens_ = std::count(q_.real.begin(), q_.real.end(), true);
  logits_.resize(at(T_));
  p_.resize(at(T_));
  r_.choices.resize(at(K_ * T_));
  r_.counts.resize(at(q_.routing_groups() * E_));
  r_.dropped_tokens.resize(at(q_.routing_groups()));
  r_.dropped_choices.resize(at(q_.routing_groups()));
  gate_.resize(r_.choices.size());
}

Layer::Vars Layer::inputs(const std::vector<double>& values) {
  Vars result;
  for (double value : values) result.push_back(tape_.constant(value));
  return result;
}

std::vector<double> Layer::values(const Vars& vars) const {
  std::vector<double> result;
  for (Var v : vars) result.push_back(tape_.value(v));
  return result;
}

RoutingResult Layer::run(bool with_gradients) {
  if (q_.kind == RoutingKind::expert_choice) {
    for (std::int64_t row = 0; row < q_.V * q_.rows; ++row) expert_choice(row);
  } else if (q_.kind == RoutingKind::soft) {
    r_.dispatch.assign(at(T_ * q_.router_columns()), 0.0);
    r_.combine = r_.dispatch;
    for (std::int64_t row = 0; row < q_.V * q_.rows; ++row) soft(row);
  } else {
    token_choice();
  }

  const double groups = static_cast<double>(q_.routing_groups());
  const double tokens = static_cast<double>(std::max<std::int64_t>(real_tokens_, 1));
  const Var aux = tape_.scale(tape_.sum(aux_terms_), 1.0 / groups);
  const Var z = tape_.scale(tape_.sum(z_terms_), 1.0 / tokens);
  Vars terms = {tape_.scale(aux, q_.aux_coef), tape_.scale(z, q_.z_coef)};
  for (std::size_t i = 0; i < y_.size(); ++i) terms.push_back(tape_.scale(y_[i], q_.dy[i]));
  const Var loss = tape_.sum(terms);

  r_.aux = tape_.value(aux);
  r_.z = tape_.value(z);
  r_.loss = tape_.value(loss);
  r_.y = values(y_);
  if (with_gradients) {
    const std::vector<double> adjoint = tape_.gradients(loss);
    const auto read = [&](const Vars& vars, std::vector<double>& into) {
      for (Var v : vars) into.push_back(adjoint[at(v.node)]);
    };
    read(x_, r_.dx);
    read(router_, r_.d_router);
    read(wi_, r_.d_wi);
    read(wo_, r_.d_wo);
  }
  return std::move(r_);
}

// ---- Token choice ----

void Layer::token_choice() {
  for (std::int64_t token = 0; token < T_; ++token) {
    if (q_.real[at(token)]) route_token(token);
  }
  assign_places(q_, r_);
  balance_loss();
  for (std::int64_t token = 0; token < T_; ++token) {
    for (std::int64_t c = 0; c < K_; ++c) {
      const Choice& chosen = choice(c, token);
      if (!chosen.kept) continue;
      add_output(token, gate_[at(c * T_ + token)], expert(chosen.expert, input_of(token)));
    }
  }
}

// A token's choices and their gates, before capacity is applied.
void Layer::route_token(std::int64_t token) {
  if (q_.kind != RoutingKind::hash) {
    Vars& logits = logits_[at(token)];
    for (std::int64_t e = 0; e < E_; ++e) logits.push_back(logit(token, e));
    p_[at(token)] = softmax(logits);
    add_z(logits);
  }
  const std::vector<std::int64_t> experts =
      chosen_experts(q_, token, values(logits_[at(token)]), values(p_[at(token)]));
  const Vars weights = gates(token, experts);
  for (std::size_t c = 0; c < experts.size(); ++c) {
    const double weight = tape_.value(weights[c]);
    const bool second = q_.kind == RoutingKind::top2 && c == 1;
    if (second && !takes_second(q_, token, weight)) continue;
    choice(static_cast<std::int64_t>(c), token) = {experts[c], weight, false};
    gate_[c * at(T_) + at(token)] = weights[c];
  }
}

Layer::Vars Layer::gates(std::int64_t token, const std::vector<std::int64_t>& experts) {
  if (q_.kind == RoutingKind::hash) return {tape_.constant(1.0)};
  Vars weights;
  for (std::int64_t e : experts) weights.push_back(p_[at(token)][at(e)]);
  const bool top2 = q_.kind == RoutingKind::top2;
  if (!top2 && !q_.normalize_gates) return weights;
  Var total = tape_.sum(weights);
  if (top2) total = tape_.add(total, tape_.constant(1e-9));
  for (Var& weight : weights) weight = tape_.div(weight, total);
  return weights;
}

// E sum_e f_e P_e of each group with real tokens; f is a constant.
void Layer::balance_loss() {
  if (q_.balance != Balance::aux || q_.kind == RoutingKind::hash) return;
  const std::int64_t N = q_.group_tokens();
  for (std::int64_t group = 0; group < q_.V; ++group) {
    Vars products;
    for (std::int64_t e = 0; e < E_; ++e) {
      Vars p;
      for (std::int64_t token = group * N; token < (group + 1) * N; ++token) {
        if (q_.real[at(token)]) p.push_back(p_[at(token)][at(e)]);
      }
      if (p.empty()) break;
      double count = 0, all = 0;  // of e, and of every expert: choices x real tokens
      for (std::int64_t other = 0; other < q_.V; ++other) {
        if (q_.scope == AuxScope::group && other != group) continue;
        count += static_cast<double>(r_.counts[at(other * E_ + e)]);
        for (std::int64_t i = 0; i < E_; ++i)
          all += static_cast<double>(r_.counts[at(other * E_ + i)]);
      }
      const double mean = 1.0 / static_cast<double>(p.size());
      products.push_back(tape_.scale(tape_.sum(p), static_cast<double>(E_) * count / all * mean));
    }
    aux_terms_.push_back(tape_.sum(products));
  }
}

// ---- Expert choice ----

// Softmax over the row's tokens for each expert, which takes the C most probable of them.
void Layer::expert_choice(std::int64_t row) {
  const std::vector<std::int64_t> tokens = real_tokens_of(row);
  const std::int64_t n = static_cast<std::int64_t>(tokens.size());
  if (n == 0) return;
  const std::int64_t C = q_.expert_choice_capacity(n);
  std::vector<Vars> columns(at(E_));  // [E][n]
  for (std::int64_t token : tokens) {
    Vars logits;
    for (std::int64_t e = 0; e < E_; ++e) logits.push_back(logit(token, e));
    add_z(logits);
    for (std::int64_t e = 0; e < E_; ++e) columns[at(e)].push_back(logits[at(e)]);
  }
  std::vector<std::int64_t> choosers(at(n), 0);
  std::vector<std::vector<std::int64_t>> taken(at(E_));
  for (std::int64_t e = 0; e < E_; ++e) {
    columns[at(e)] = softmax(columns[at(e)]);
    taken[at(e)] = descending(values(columns[at(e)]));
    taken[at(e)].resize(at(C));
    for (std::int64_t i : taken[at(e)]) ++choosers[at(i)];
    r_.counts[at(row * E_ + e)] = C;
  }
  for (std::int64_t e = 0; e < E_; ++e) {
    for (std::int64_t i : taken[at(e)]) {
      const std::int64_t token = tokens[at(i)];
      const Var weight =
          tape_.scale(columns[at(e)][at(i)], 1.0 / static_cast<double>(choosers[at(i)]));
      choice(e, token) = {e, tape_.value(weight), true};
      add_output(token, weight, expert(e, input_of(token)));
    }
  }
  r_.dropped_tokens[at(row)] = std::count(choosers.begin(), choosers.end(), 0);
  if (q_.balance != Balance::aux) return;
  Vars squares;
  for (std::int64_t i = 0; i < n; ++i) {
    Vars over_experts;
    for (const Vars& column : columns) over_experts.push_back(column[at(i)]);
    const Var a = tape_.scale(tape_.sum(over_experts), 1.0 / static_cast<double>(E_));
    squares.push_back(tape_.mul(a, a));
  }
  aux_terms_.push_back(tape_.scale(tape_.sum(squares), static_cast<double>(n)));
}

// ---- Soft ----

// Every slot is a mixture of the row's tokens; every token gets a mixture of all slots' outputs.
void Layer::soft(std::int64_t row) {
  const std::vector<std::int64_t> tokens = real_tokens_of(row);
  if (tokens.empty()) return;
  const std::int64_t S = q_.soft_slots(static_cast<std::int64_t>(tokens.size()));
  const std::int64_t S_max = q_.soft_slots(q_.length);
  std::vector<Vars> combine, columns(at(E_ * S));  // [n][E*S], [E*S][n]
  for (std::int64_t token : tokens) {
    Vars logits;
    for (std::int64_t slot = 0; slot < E_ * S; ++slot) {
      logits.push_back(logit(token, slot / S * S_max + slot % S));
      columns[at(slot)].push_back(logits.back());
    }
    add_z(logits);
    combine.push_back(softmax(logits));
  }
  for (std::int64_t slot = 0; slot < E_ * S; ++slot) {
    const Vars dispatch = softmax(columns[at(slot)]);
    Vars slot_input;
    for (std::int64_t d = 0; d < D_; ++d) {
      Vars parts;
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        parts.push_back(tape_.mul(dispatch[i], x_[at(tokens[i] * D_ + d)]));
      }
      slot_input.push_back(tape_.sum(parts));
    }
    const Vars output = expert(slot / S, slot_input);
    const std::int64_t column = slot / S * S_max + slot % S;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      add_output(tokens[i], combine[i][at(slot)], output);
      r_.dispatch[at(tokens[i] * E_ * S_max + column)] = tape_.value(dispatch[i]);
      r_.combine[at(tokens[i] * E_ * S_max + column)] = tape_.value(combine[i][at(slot)]);
    }
  }
}

// ---- What all routings share ----

std::vector<std::int64_t> Layer::real_tokens_of(std::int64_t row) const {
  std::vector<std::int64_t> tokens;
  for (std::int64_t token = row * q_.length; token < (row + 1) * q_.length; ++token) {
    if (q_.real[at(token)]) tokens.push_back(token);
  }
  return tokens;
}

Var Layer::logit(std::int64_t token, std::int64_t column) {
  return tape_.dot(&router_x_[at(token * D_)], 1, &router_[at(column)], q_.router_columns(), D_);
}

void Layer::add_z(const Vars& logits) {
  const Var lse = log_sum_exp(logits);
  z_terms_.push_back(tape_.mul(lse, lse));
}

Layer::Vars Layer::softmax(const Vars& logits) {
  const Var lse = log_sum_exp(logits);
  Vars result;
  for (Var l : logits) result.push_back(tape_.exp(tape_.sub(l, lse)));
  return result;
}

Var Layer::log_sum_exp(const Vars& logits) {
  double largest = tape_.value(logits.front());
  for (Var l : logits) largest = std::max(largest, tape_.value(l));
  const Var shift = tape_.constant(largest);
  Vars exponentials;
  for (Var l : logits) exponentials.push_back(tape_.exp(tape_.sub(l, shift)));
  return tape_.add(tape_.log(tape_.sum(exponentials)), shift);
}

// relu(input wi[e]) wo[e]
Layer::Vars Layer::expert(std::int64_t e, const Vars& input) {
  const std::int64_t F = q_.F;
  Vars hidden, output;
  for (std::int64_t f = 0; f < F; ++f) {
    hidden.push_back(tape_.relu(tape_.dot(input.data(), 1, &wi_[at(e * D_ * F + f)], F, D_)));
  }
  for (std::int64_t d = 0; d < D_; ++d) {
    output.push_back(tape_.dot(hidden.data(), 1, &wo_[at(e * F * D_ + d)], D_, F));
  }
  return output;
}

Layer::Vars Layer::input_of(std::int64_t token) const {
  return Vars(x_.begin() + token * D_, x_.begin() + (token + 1) * D_);
}

void Layer::add_output(std::int64_t token, Var weight, const Vars& output) {
  for (std::int64_t d = 0; d < D_; ++d) {
    Var& y = y_[at(token * D_ + d)];
    y = tape_.add(y, tape_.mul(weight, output[at(d)]));
  }
}

}  // namespace

RoutingResult run_routing(const RoutingProblem& problem, bool with_gradients) {
  return Layer(problem).run(with_gradients);
}

}  // namespace switchyard::reference
